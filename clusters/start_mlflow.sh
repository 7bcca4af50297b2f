#!/usr/bin/env bash
# Start the MLflow server on the head node, once. It listens on localhost only; people reach it
# through an ssh tunnel (docs/clusters.md). Experiments on the head node find it by this variable.
set -euo pipefail

results="${SMIL_RAY_RESULTS:-$HOME/results}"
mkdir -p "$results/artifacts"
line='export MLFLOW_TRACKING_URI=http://127.0.0.1:5000'
grep -qxF "$line" "$HOME/.bashrc" || echo "$line" >>"$HOME/.bashrc"

if ! curl --silent --fail --max-time 2 http://127.0.0.1:5000/health >/dev/null; then
  MLFLOW_DISABLE_TELEMETRY=true nohup setsid mlflow server --host 127.0.0.1 --port 5000 \
    --backend-store-uri "sqlite:///$results/mlflow.db" \
    --artifacts-destination "$results/artifacts" \
    >"$results/mlflow_server.log" 2>&1 </dev/null &
fi
