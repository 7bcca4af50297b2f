#!/usr/bin/env bash
# A bench of hosts on this machine, for tests of clusters:
#
#   hosts.sh up FOLDER PYTHON NUMBER   make hosts 10.83.0.11, .12, ...; this machine is 10.83.0.1
#   hosts.sh down FOLDER               remove all that `up` has made
#
# Needs root (it makes network, mount and PID namespaces), ip, sshd, ssh-keygen and rsync. Each host
# has an address, an ssh server on port 22, processes, host name, home, /tmp and /dev/shm of its
# own; FOLDER is what all see. PYTHON's environment stands in for what `setup_node.sh` installs,
# because hosts reach nothing but one another. FOLDER/key logs in as root.
set -euo pipefail

bridge=smilbr0
network=10.83.0

up() {
  local folder="$1" python="$2" number="$3"
  mkdir -p "$folder"
  echo "$number" >"$folder/number"
  ssh-keygen -q -t ed25519 -N "" -f "$folder/key"
  ssh-keygen -q -t ed25519 -N "" -f "$folder/host_key"
  mkdir -p /run/sshd
  ip link add "$bridge" type bridge
  ip address add "$network.1/24" dev "$bridge"
  ip link set "$bridge" up
  for ((host = 1; host <= number; host++)); do
    start_host "$folder" "$python" "$host"
  done
  for ((host = 1; host <= number; host++)); do
    for _ in $(seq 100); do
      (: <"/dev/tcp/$network.$((10 + host))/22") 2>/dev/null && continue 2
      sleep 0.1
    done
    echo "host $host has no ssh server: $(cat "$folder/host$host/log")" >&2
    exit 1
  done
}

start_host() {
  local folder="$1" python="$2" name="smilhost$3"
  local place="$folder/host$3"
  mkdir -p "$place/home" "$place/tmp"
  chmod 1777 "$place/tmp"
  ip netns add "$name"
  ip link add "smilveth$3" type veth peer name eth0 netns "$name"
  ip link set "smilveth$3" master "$bridge" up
  ip -n "$name" address add "$network.$((10 + $3))/24" dev eth0
  ip -n "$name" link set eth0 up
  ip -n "$name" link set lo up
  setsid ip netns exec "$name" unshare --pid --mount --uts --ipc --fork --kill-child --mount-proc \
    bash "$0" run "$folder" "$python" "$place" "$name" >"$place/log" 2>&1 </dev/null &
  echo $! >"$place/pid"
}

# Inside a host's namespaces: its own folders, then its ssh server for as long as it lives.
run() {
  local folder="$1" python="$2" place="$3" name="$4"
  local base environment
  base="$("$python" -c 'import sys; print(sys.base_prefix)')"
  environment="$("$python" -c 'import sys; print(sys.prefix)')"
  hostname "$name"
  prepare_home "$place/home" "$environment"
  if [[ "$base" = "$HOME"/* ]]; then  # Python itself stays where it is.
    mkdir -p "$place/home/${base#"$HOME"/}"
    mount --bind "$base" "$place/home/${base#"$HOME"/}"
    mount -o remount,bind,ro "$place/home/${base#"$HOME"/}"
  fi
  mount --rbind "$place/home" "$HOME"
  mount --bind "$place/tmp" /tmp
  mount -t tmpfs -o size=2g tmpfs /dev/shm
  exec /usr/sbin/sshd -D -e -f /dev/null -h "$folder/host_key" -o PidFile=none -o UsePAM=no \
    -o PermitRootLogin=prohibit-password -o StrictModes=no -o MaxStartups=50 \
    -o AuthorizedKeysFile="$folder/key.pub" -o ListenAddress=0.0.0.0
}

# What clusters/setup_node.sh would download is there; `uv` only notes where the package lies.
prepare_home() {
  mkdir -p "$1/.local/bin"
  ln -sfn "$2" "$1/smil-ray-env"
  cat >"$1/.local/bin/uv" <<'UV'
#!/bin/bash
while [ $# -gt 1 ]; do
  [ "$1" = --editable ] && line="export PYTHONPATH=$2"
  shift
done
[ -z "${line:-}" ] || grep -qxF "$line" ~/.bashrc || echo "$line" >>~/.bashrc
UV
  chmod +x "$1/.local/bin/uv"
  # Two cores are shared by all hosts: what a test does not need is left out.
  cat >"$1/.bashrc" <<'RC'
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=1 MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false RAY_worker_niceness=0 RAY_enable_metrics_collection=0
RC
}

down() {
  local folder="$1" number host pid
  number="$(cat "$folder/number" 2>/dev/null || echo 0)"
  for ((host = 1; host <= number; host++)); do
    pid="$(cat "$folder/host$host/pid" 2>/dev/null || true)"
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true  # --kill-child: all processes with it.
    ip netns delete "smilhost$host" 2>/dev/null || true
    ip link delete "smilveth$host" 2>/dev/null || true
  done
  ip link delete "$bridge" 2>/dev/null || true
  # Mounts of a host go with its last process.
  for _ in $(seq 50); do
    rm -rf --one-file-system "$folder" 2>/dev/null && return
    sleep 0.2
  done
  rm -rf --one-file-system "$folder"
}

[ "$(id -u)" = 0 ] || { echo "hosts.sh makes namespaces and needs root" >&2; exit 2; }
"$@"
