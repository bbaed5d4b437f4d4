#!/usr/bin/env bash
# alerts.sh IMAGE: starts compose.yaml with that image and drives each of the four alerts on it, from traffic to the notification of
# its end. Prints a line for each. Takes half an hour: the windows and times are the demo's.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
require_daemon
export METRICS_HOST_IMAGE=$1 COMPOSE_PROFILES=embedded FAULT_INJECTION=on COMPOSE_PROJECT_NAME=metrics-host-alerts

work=$(mktemp -d)
trap 'compose down --volumes >&2; rm -rf "$work"' EXIT
head -c 18 /dev/urandom | base64 >"$work/password"
chmod 755 "$work"
export GRAFANA_ADMIN_PASSWORD_FILE=$work/password
[ -f .env ] || cp .env.example .env
tools/up.sh >&2
for scenario in 5xx latency exceptions drop; do
  cargo run --quiet --locked --release --package evidence -- "$scenario" --base-url http://127.0.0.1:8080 --no-screenshots \
    --output "$work/evidence-$scenario" 2>&1 | tee "$work/log" >&2
  echo "$scenario: $(sed -n 's/^.*\(proven: .*\)/\1/p' "$work/log")"
done
