#!/usr/bin/env bash
# Start the MLflow server on the head node, once. It listens on localhost only; people reach it
# through an ssh tunnel (docs/clusters.md). Experiments on the head node find it by this variable.
# It ends with the Ray beside which it was started, so that `ray down` leaves nothing behind.
set -euo pipefail

results="${SMIL_RAY_RESULTS:-$HOME/results}"
mkdir -p "$results/artifacts"
line='export MLFLOW_TRACKING_URI=http://127.0.0.1:5000'
grep -qxF "$line" "$HOME/.bashrc" || echo "$line" >>"$HOME/.bashrc"

answers() { curl --silent --fail --max-time 2 http://127.0.0.1:5000/health >/dev/null; }
ray="$(pgrep --newest --uid "$(id -u)" --exact gcs_server)"
# The server of an earlier Ray is about to end.
for _ in {1..30}; do
  answers || break
  [ "$(cat "$results/mlflow_server.ray" 2>/dev/null)" = "$ray" ] && exit
  sleep 1
done
echo "$ray" >"$results/mlflow_server.ray"

export MLFLOW_DISABLE_TELEMETRY=true
nohup setsid bash -c '
  trap exit TERM
  mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri "sqlite:///$0/mlflow.db" \
    --artifacts-destination "$0/artifacts" &
  while kill -0 "$1" 2>/dev/null; do sleep 2; done
  kill -TERM 0
' "$results" "$ray" >"$results/mlflow_server.log" 2>&1 </dev/null &
