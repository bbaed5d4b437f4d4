#!/usr/bin/env bash
# Starts the stack of compose.yaml, waits until it is healthy and says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
fail() { printf 'up: %s\n' "$@" >&2; exit 1; }

[ -f .env ] || fail "there is no .env: run \`cp .env.example .env\`"
password_file=$(setting GRAFANA_ADMIN_PASSWORD_FILE)
[ -n "$password_file" ] || fail "GRAFANA_ADMIN_PASSWORD_FILE is not set: see .env.example"
[ -s "$password_file" ] || fail "$password_file has no password for Grafana's user admin; to make one:" \
  "  mkdir -p -m 700 $(dirname "$password_file") && head -c 18 /dev/urandom | base64 > $password_file && chmod 644 $password_file"
[ "$(tr -d '\n' <"$password_file" | wc -c)" -ge 12 ] || fail "the password in $password_file is shorter than 12 characters"
# Each service has a user of its own. The secrets of the receivers belong to Alertmanager's.
unreadable=$(find "$password_file" alerts/demo grafana deploy/fleet -path alerts/demo/secrets -prune -o \
  \( ! -perm -o=r -o -type d ! -perm -o=x \) -print)
[ -z "$unreadable" ] || fail "the services cannot read these; run chmod o+rX on each:" "$unreadable"

profile=$(setting COMPOSE_PROFILES)
fleet=(replica-1 replica-2 replica-3 haproxy postgres)
case $profile in
  embedded) other=(spin sidecar "${fleet[@]}") ;;
  spin) other=(app "${fleet[@]}") ;;
  fleet) other=(app spin sidecar) ;;
  *) fail "COMPOSE_PROFILES is \"$profile\": expected embedded, spin or fleet" ;;
esac
daemon_answers || fail "no Docker daemon answers; is it running, and may $(id -un) use it?"
image=$(setting METRICS_HOST_IMAGE)
if [ -z "$image" ]; then
  tools/image.sh "$profile"
else
  # Old versions of compose build what they should pull.
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null
fi
COMPOSE_PROFILES=embedded,spin,fleet compose rm --stop --force "${other[@]}" >/dev/null
compose up --detach --no-build
mapfile -t containers < <(compose ps --quiet)
await_healthy "${UP_TIMEOUT:-180}" "${containers[@]}"

where() { printf '  %-14s http://127.0.0.1:%s/\n' "$1" "${2:-$3}"; }
echo "Everything is healthy:"
where "items API" "$(setting API_PORT)" 8080
where "status page" "$(setting METRICS_PORT)" 9464
where Prometheus "$(setting PROMETHEUS_PORT)" 9090
where Alertmanager "$(setting ALERTMANAGER_PORT)" 9093
where Grafana "$(setting GRAFANA_PORT)" 3000
echo "Grafana's user is admin, its password is in $password_file. \`make down\` stops it all."
