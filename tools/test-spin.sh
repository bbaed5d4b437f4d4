#!/usr/bin/env bash
# Builds the component with `spin build`, and runs the black-box suite against it under a real Spin with metrics-host as its sidecar.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
spin=$(command -v spin || tools/install-spin.sh)
PATH="$(dirname "$spin"):$PATH"

spin build
# shellcheck source=tools/scratch.sh
. tools/scratch.sh
target/release/metrics-host sidecar --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 --state-dir "$work/sidecar" \
  --addresses-file "$work/addresses.json" >"$work/sidecar.log" 2>&1 &
pids=($!)
await 30 "the sidecar says where it listens" test -s "$work/addresses.json"

# Spin takes no port 0.
port=$(tools/free-port.sh)
SPIN_VARIABLE_TELEMETRY_HOST=$(address "$work/addresses.json" otlp) SPIN_VARIABLE_FAULT_INJECTION=on \
  spin up --listen "127.0.0.1:$port" --state-dir "$work/spin" >"$work/spin.log" 2>&1 &
pids+=($!)
await 60 "the component under Spin is ready" answers "http://127.0.0.1:$port/health/ready"

ITEMS_URL=http://127.0.0.1:$port METRICS_URL=http://$(address "$work/addresses.json" metrics) ITEMS_DRILLS=on make --no-print-directory test-running
