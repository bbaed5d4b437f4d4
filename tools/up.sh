#!/usr/bin/env bash
# Starts the stack of compose.yaml, waits until it is healthy and says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'up: %s\n' "$@" >&2
  exit 1
}

# Prints a setting of the environment or else of .env.
setting() {
  local line
  line=$(grep "^$1=" .env | tail -n 1 || true)
  printf '%s' "${!1-${line#*=}}"
}

[ -f .env ] || fail "there is no .env: run \`cp .env.example .env\`"
password_file=$(setting GRAFANA_ADMIN_PASSWORD_FILE)
[ -n "$password_file" ] || fail "GRAFANA_ADMIN_PASSWORD_FILE is not set: see .env.example"
if [ ! -s "$password_file" ]; then
  fail "$password_file has no password for Grafana's user admin; to make one:" \
    "  mkdir -p -m 700 $(dirname "$password_file") && head -c 18 /dev/urandom | base64 > $password_file && chmod 644 $password_file"
fi
[ "$(tr -d '\n' <"$password_file" | wc -c)" -ge 12 ] || fail "the password in $password_file is shorter than 12 characters"
# Each service has a user of its own and reads these as "others". What keeps a secret on this machine is its directory.
# The receivers' secrets have no such directory: they belong to Alertmanager's user.
unreadable=$(find "$password_file" alerts/demo grafana -path alerts/demo/secrets -prune -o \
  \( ! -perm -o=r -o -type d ! -perm -o=x \) -print)
[ -z "$unreadable" ] || fail "the services cannot read these; run chmod o+rX on each:" "$unreadable"

profile=$(setting COMPOSE_PROFILES)
case $profile in
  embedded) other=(spin sidecar) ;;
  spin) other=(app) ;;
  *) fail "COMPOSE_PROFILES is \"$profile\": expected embedded or spin" ;;
esac

# shellcheck source=tools/docker.sh
. tools/docker.sh
docker info >/dev/null 2>&1 || fail "no Docker daemon answers; is it running, and may $(id -un) use it?"
image=$(setting METRICS_HOST_IMAGE)
if [ -z "$image" ]; then
  tools/image.sh "$profile"
elif ! docker image inspect "$image" >/dev/null 2>&1; then
  # Old versions of compose build what they should pull.
  docker pull --quiet "$image" >/dev/null
fi
COMPOSE_PROFILES=embedded,spin compose rm --stop --force "${other[@]}" >/dev/null
compose up --detach --no-build
mapfile -t containers < <(compose ps --quiet)
tools/wait-healthy.sh "${UP_TIMEOUT:-180}" "${containers[@]}"

where() {
  local port
  port=$(setting "$2")
  printf '  %-14s http://127.0.0.1:%s/\n' "$1" "${port:-$3}"
}
echo "Everything is healthy:"
where "items API" API_PORT 8080
where "status page" METRICS_PORT 9464
where Prometheus PROMETHEUS_PORT 9090
where Alertmanager ALERTMANAGER_PORT 9093
where Grafana GRAFANA_PORT 3000
echo "Grafana's user is admin, its password is in $password_file. \`make down\` stops it all."
