#!/usr/bin/env bash
# A sweep (or any command) on a Slurm cluster: Ray's head and workers for as long as the job runs.
#
#   smil-ray cluster init slurm --out clusters/slurm.sh --force      fills the four lines below
#   smil-ray cluster check clusters/slurm.sh
#   bash clusters/setup_node.sh                                      once, on the login node
#   sbatch clusters/slurm.sh experiments/tune_backbones.py --data /shared/ants.h5 --output /shared/runs
#
# After `scancel JOB`, or when the time was over, go on with
#   sbatch clusters/slurm.sh experiments/tune_backbones.py --output /shared/runs --resume
#
# Submit it in this repository's folder. All nodes must see it, the home directory and --output.

# --- the lines to edit -----------------------------------------------------------------------------
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
# --- the end of the lines to edit ------------------------------------------------------------------
#SBATCH --job-name=smil-ray
#SBATCH --output=%x-%j.log
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
# Two minutes before the time is over the sweep is told to save what it has.
#SBATCH --signal=B:TERM@120
set -euo pipefail

export PATH="${SMIL_RAY_ENVIRONMENT:-$HOME/smil-ray-env}/bin:$PATH"
# The head's address as Slurm knows it; some nodes take their own name for 127.0.1.1.
name="$(scontrol show node "$SLURMD_NODENAME" | sed -nE 's/.*NodeAddr=(\S+).*/\1/p')"
address="$(getent ahostsv4 "$name" | awk '$1 !~ /^127\./ {print $1; exit}')"
address="${address:-$(hostname -I | cut -d' ' -f1)}:$((20000 + SLURM_JOB_ID % 10000))"
folder="/tmp/ray-$SLURM_JOB_ID"
# Ray runs code that somebody sends to its ports: only who has this job's token may.
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0

start_node() {
  ulimit -n "$(ulimit -Hn)"
  trap : TERM  # Slurm tells Ray too: wait for its end, then tidy up.
  trap 'rm -rf "$2"' EXIT
  if [ "$SLURM_PROCID" = 0 ]; then
    ray start --block --head --node-ip-address="${1%:*}" --port="${1#*:}" --temp-dir="$2" \
      --dashboard-host=127.0.0.1 --resources='{"trial_slot": 16}'
    return
  fi
  until (: </dev/tcp/"${1%:*}"/"${1#*:}") 2>/dev/null; do sleep 1; done
  ray start --block --address="$1"
}
export -f start_node
srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 --overlap --kill-on-bad-exit \
  bash -c 'start_node "$@"' start_node "$address" "$folder" &
nodes=$!
# The first step of the job is the one that runs Ray.
trap 'scancel --signal=TERM "$SLURM_JOB_ID.0" || true; wait "$nodes" || true' EXIT

# How many trials share a process follows from the nodes that are there when a sweep starts.
python - "$address" "$SLURM_NNODES" <<'PYTHON'
import sys
import time

import ray

ends = time.monotonic() + 300
while time.monotonic() < ends:
    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    except ConnectionError:
        time.sleep(2)
        continue
    while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
        if time.monotonic() > ends:
            sys.exit(f"only {len(ray.nodes())} of {sys.argv[2]} nodes have started Ray in 5 minutes")
        time.sleep(1)
    sys.exit(0)
sys.exit(f"Ray does not answer at {sys.argv[1]} after 5 minutes")
PYTHON

export RAY_ADDRESS="$address"
python "$@" &
job=$!
trap 'kill -TERM "$job"' TERM
# `wait` ends early when the signal comes; the second one waits until the sweep has saved its state.
wait "$job" || code=$?
if kill -0 "$job" 2>/dev/null; then wait "$job" || code=$?; fi
exit "${code:-0}"
