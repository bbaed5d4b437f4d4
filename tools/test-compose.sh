#!/usr/bin/env bash
# Tests compose.yaml: its variables, and the whole stack of each profile with local stand-ins for the images.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
# shellcheck source=tools/stand-ins.sh
. tools/stand-ins.sh
# shellcheck source=tools/await.sh
. tools/await.sh

fail() {
  echo "test-compose: $*" >&2
  exit 1
}

tools/need.sh prometheus prometheus
tools/need.sh prometheus-alertmanager prometheus-alertmanager
tools/need.sh busybox busybox-static

isolate

# expect WHAT EXPECTED ACTUAL
expect() {
  [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}

# Runs a command whose output matters only if it fails.
quietly() {
  if ! "$@" >"$work/output" 2>&1; then
    cat "$work/output" >&2
    fail "failed: $*"
  fi
}

work=$(mktemp -d)
project=metrics-host-test-$$
mkdir -m 700 "$work/secrets"
echo correct-horse-battery >"$work/secrets/password"
chmod 644 "$work/secrets/password"
for name in API METRICS PROMETHEUS ALERTMANAGER GRAFANA; do export "${name}_PORT=0"; done
export GRAFANA_ADMIN_PASSWORD_FILE=$work/secrets/password METRICS_HOST_IMAGE=$project-app SPIN_IMAGE=$project-spin

stack() {
  compose --env-file "$work/env" --project-name "$project" --file compose.yaml --file "$work/stand-ins.yaml" "$@"
}
cleanup() {
  local status=$?
  if [ "$status" != 0 ] && [ "$status" != 77 ]; then
    stack logs --no-color --tail 15 >&2 || true
  fi
  COMPOSE_PROFILES=embedded,spin stack down --volumes --timeout 5 >/dev/null 2>&1 || true
  docker image ls --quiet --filter "reference=$project-*" 2>/dev/null | sort -u | xargs -r "$docker_client" image rm --force >/dev/null || true
  stop_daemon
  rm -rf "$work"
}
trap cleanup EXIT

: >"$work/env"
cat >"$work/stand-ins.yaml" <<YAML
services:
  prometheus: {image: $project-prometheus}
  alertmanager: {image: $project-alertmanager}
  grafana: {image: $project-grafana}
  # In Spin's place a metrics-host that sends its component's telemetry to the sidecar, as the component under Spin does.
  spin:
    entrypoint: [/metrics-host, serve]
    environment: {SPIN_VARIABLE_TELEMETRY: otlp}
YAML
if (unset GRAFANA_ADMIN_PASSWORD_FILE && compose --env-file "$work/env" --file compose.yaml config >/dev/null 2>&1); then
  fail "compose.yaml is taken without a password"
fi
for profile in embedded spin; do
  COMPOSE_PROFILES=$profile stack config --quiet || fail "compose.yaml is not valid with the profile $profile"
done

start_daemon "$work/docker"
app_image "$work" "$project-app"
prometheus_image "$work" "$project-prometheus"
alertmanager_image "$work" "$project-alertmanager"
grafana_image "$work" "$project-grafana"
place_busybox "$work/spin"
mv "$work/spin/bin/busybox" "$work/spin/spin"
import "$work/spin" "$project-spin-binary"
docker build --quiet --tag "$project-spin" --file Dockerfile.spin \
  --build-arg METRICS_HOST_IMAGE="$project-app" --build-arg SPIN="$project-spin-binary" . >/dev/null

# Prints http://ADDRESS of a service's port on this machine.
url() {
  echo "http://$(docker port "$(stack ps --quiet "$1")" "$2")"
}
# Prints the sum of the samples on the metrics page of SERVICE whose lines match every PATTERN.
sample() {
  local page pattern
  page=$(curl --silent --fail "$(url "$1" 9464)/metrics")
  shift
  for pattern in "$@"; do page=$(grep -- "$pattern" <<<"$page" || true); done
  awk '{ sum += $2 } END { print sum + 0 }' <<<"$page"
}
targets_up() {
  local health
  health=$(curl --silent --fail "$(url prometheus 9090)/api/v1/targets?state=active" | grep -o '"health":"[a-z]*"' | sort | uniq -c | xargs)
  [ "$health" = '3 health:up' ]
}
counted() {
  [ "$(sample "$1" '^app_requests_total{' 'method="POST"' 'endpoint="/items"' 'http_status="201"')" = 1 ]
}
notified() {
  [ "$(sample "$1" '^metrics_host_notifications_total{' 'status="firing"')" -ge 1 ]
}

# Asks the kernel and the daemon whether each container is confined as compose.yaml says.
check_confinement() {
  local id status limits
  for id in $(stack ps --quiet); do
    status=/proc/$(docker inspect --format '{{.State.Pid}}' "$id")/status
    [ "$(awk '/^Uid:/ { print $2 }' "$status")" != 0 ] || fail "runs as root: $(docker inspect --format '{{.Name}}' "$id")"
    expect "capabilities" 0000000000000000 "$(awk '/^CapBnd:/ { print $2 }' "$status")"
    expect "privileges cannot grow" 1 "$(awk '/^NoNewPrivs:/ { print $2 }' "$status")"
    limits=$(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' "$id")
    [[ $limits =~ ^true\ [1-9][0-9]*\ [1-9][0-9]*$ ]] || fail "expected a read-only root and limits of memory and processes, got $limits"
    expect "addresses of published ports" 127.0.0.1 \
      "$(docker inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{println .HostIp}}{{end}}{{end}}' "$id" | grep . | sort -u)"
  done
}

# Alertmanager's secrets are in the folder that it mounts: Prometheus sees nothing of it but its own.
check_mounts() {
  expect "files of Prometheus" "prometheus.yml rules" \
    "$(docker exec "$(stack ps --quiet prometheus)" /bin/busybox ls /etc/prometheus | xargs)"
  docker exec "$(stack ps --quiet alertmanager)" /bin/busybox ls /etc/alertmanager/alertmanager.yml >/dev/null || fail "no alertmanager.yml"
}

# check_links SERVER: its status page links to the others.
check_links() {
  local page name
  page=$(curl --silent --fail "$(url "$1" 9464)/")
  for name in Prometheus Alertmanager Grafana; do
    grep -qE "<a href=\"http://127.0.0.1:[0-9]+/\">$name</a>" <<<"$page" || fail "the status page of $1 does not link to $name"
  done
}

# Watchdog comes from Prometheus by itself, within resend-delay (1 m) if Alertmanager was not known at the first evaluation.
watchdog_arrives() {
  await 120 "Watchdog arrived at $1 through Alertmanager" notified "$1"
}
# One that need not be waited for, to Alertmanager directly.
own_alert_arrives() {
  curl --silent --fail --header 'content-type: application/json' \
    --data '[{"labels": {"alertname": "Watchdog", "severity": "none", "job": "test-compose"}}]' "$(url alertmanager 9093)/api/v2/alerts"
  await 30 "an alert arrived at $1 through Alertmanager" notified "$1"
}

# run PROFILE SERVER COUNTER ALERT: the stack of a profile, whose SERVER takes a request that COUNTER must count, and ALERT.
run() {
  local containers
  export COMPOSE_PROFILES=$1
  quietly stack up --detach --no-build
  mapfile -t containers < <(stack ps --quiet)
  tools/wait-healthy.sh 90 "${containers[@]}"
  expect "status of a POST" 201 "$(curl --silent --output /dev/null --write-out '%{http_code}' \
    --header 'content-type: application/json' --data '{"name":"demo"}' "$(url "$2" 8080)/items")"
  await 30 "the POST is on the metrics page of $3" counted "$3"
  check_confinement
  check_mounts
  check_links "$3"
  await 45 "Prometheus has its three targets" targets_up
  "$4" "$3"
  quietly stack down --timeout 30
}
run embedded app app watchdog_arrives
run spin spin sidecar own_alert_arrives
echo "test-compose: passed"
