#!/usr/bin/env bash
# Checks the systemd unit: its settings are known, and its exposure is at most 2.0 of 10.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh systemd-analyze:systemd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unit=$work/metrics-host.service
# The program of the unit has to exist.
sed 's,/usr/local/bin/metrics-host,/bin/true,' deploy/systemd/metrics-host.service >"$unit"
# It warns about a setting that it does not know, and succeeds.
warnings=$(systemd-analyze verify --man=no "$unit" 2>&1)
[ -z "$warnings" ] || { echo "lint-unit: $warnings" >&2; exit 1; }
systemd-analyze security --offline=yes --no-pager --threshold=20 "$unit" >"$work/report" || { cat "$work/report" >&2; exit 1; }
