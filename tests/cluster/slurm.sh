#!/usr/bin/env bash
# Slurm on the hosts that hosts.sh has made: slurmctld on this machine, slurmd on each host.
#
#   slurm.sh up FOLDER NUMBER      afterwards: SLURM_CONF=FOLDER/slurm/slurm.conf sbatch ...
#   slurm.sh down FOLDER
#
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge. The slurmd of a host goes with
# the host; `down` ends the rest.
set -euo pipefail

up() {
  local folder="$1/slurm" number="$2" host
  mkdir -p "$folder/state" "$folder/munge"
  dd if=/dev/urandom of="$folder/munge.key" bs=1 count=1024 status=none
  chmod 600 "$folder/munge.key"
  munged --key-file="$folder/munge.key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --force
  cat >"$folder/slurm.conf" <<CONF
ClusterName=bench
SlurmctldHost=$(hostname)(10.83.0.1)
AuthInfo=socket=$folder/munge/socket
SlurmUser=root
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdPidFile=$folder/%n.pid
SlurmdLogFile=$folder/%n.log
SlurmdSpoolDir=$folder/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=90
NodeName=DEFAULT CPUs=2 RealMemory=4000
$(for ((host = 1; host <= number; host++)); do
    echo "NodeName=smilhost$host NodeAddr=10.83.0.$((10 + host))"
  done)
PartitionName=gpu Nodes=ALL Default=YES State=UP
CONF
  # Hosts see no cgroups; slurmd only wants to know where they would be.
  printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=%s\n' "$folder/cgroup" >"$folder/cgroup.conf"
  export SLURM_CONF="$folder/slurm.conf"
  slurmctld
  for ((host = 1; host <= number; host++)); do
    ssh -i "$1/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -q \
      "root@10.83.0.$((10 + host))" "SLURM_CONF=$SLURM_CONF slurmd -N smilhost$host"
  done
}

down() {
  local pid
  for pid in "$1/slurm/slurmctld.pid" "$1/slurm/munge/pid"; do
    [ ! -e "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || true
  done
}

"$@"
