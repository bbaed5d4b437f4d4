#!/usr/bin/env bash
# Asks Prometheus' and Alertmanager's own checks about both committed configurations. `make test-alerts` tests what the rules do.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh promtool prometheus
tools/need.sh amtool prometheus-alertmanager

# check COMMAND...: shows what it says only if it fails.
check() {
  local said
  said=$("$@" 2>&1) || {
    printf 'lint-alerts: %s\n%s\n' "$*" "$said" >&2
    exit 1
  }
}
for configuration in alerts alerts/demo; do
  check promtool check config "$configuration/prometheus.yml"
  check amtool check-config "$configuration/alertmanager.yml"
done
