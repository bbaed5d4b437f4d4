#!/usr/bin/env bash
# Tests the image and compose.yaml: all profiles of the stack, with stand-ins for the images that a registry would bring.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/stand-ins.sh
. tools/stand-ins.sh

# The stage `build` takes a registry. Its context can be looked at without one.
printf 'FROM scratch\nCOPY . .\n' | docker build --quiet --output "type=local,dest=$work/context" --file - . >/dev/null
cargo metadata --no-deps --offline --locked --format-version 1 --manifest-path "$work/context/Cargo.toml" >/dev/null ||
  fail "the build context lacks something of the workspace: see .dockerignore"
[ -x "$work/context/tools/build-component.sh" ] || fail "the build context lacks the script that builds the component: see .dockerignore"
[ -z "$(find "$work/context" -name '*.wasm' -o -name '.git' -o -name target)" ] || fail "the build context holds what was built"
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
grep -q "^ARG RUST_IMAGE=rust:$channel-" Dockerfile || fail "the Dockerfile's Rust is not $channel, which rust-toolchain.toml pins"

image() { docker image inspect --format "$1" "$name-app"; }
expect "user" 65532:65532 "$(image '{{.Config.User}}')"
expect "entry point" '["/metrics-host"]["serve"]' "$(image '{{json .Config.Entrypoint}}{{json .Config.Cmd}}')"
expect "health check" '["CMD","/metrics-host","health"]' "$(image '{{json .Config.Healthcheck.Test}}')"
expect "version" 1.2.3 "$(image '{{index .Config.Labels "org.opencontainers.image.version"}}')"
expect "revision" 0123456789abcdef "$(image '{{index .Config.Labels "org.opencontainers.image.revision"}}')"

busybox_in "$work/spin"
mv "$work/spin/bin/busybox" "$work/spin/spin"
import "$work/spin" "$name-spin-binary"
docker build --quiet --tag "$SPIN_IMAGE" --file Dockerfile.spin \
  --build-arg METRICS_HOST_IMAGE="$name-app" --build-arg SPIN="$name-spin-binary" . >/dev/null

cd "$deployment"
! (sed -i.with /^GRAFANA_ADMIN/d .env && compose config >/dev/null 2>&1) || fail "compose.yaml is taken without a password"
mv .env.with .env

container() { compose ps --quiet "$1"; }
url() { echo "http://$(compose port "$1" "$2")"; }
# sample SERVICE PATTERN...: prints the sum of the samples on its metrics page whose lines match every pattern.
sample() {
  local page pattern
  page=$(curl --silent --fail "$(url "$1" 9464)/metrics")
  for pattern in "${@:2}"; do page=$(grep -- "$pattern" <<<"$page" || true); done
  awk '{ sum += $2 } END { print sum + 0 }' <<<"$page"
}
posted() { sample "$1" '^app_requests_total{' 'method="POST"' 'endpoint="/items"' 'http_status="201"'; }
is_posted() { [ "$(posted "$1")" = 1 ]; }
notified() { [ "$(sample "$1" '^metrics_host_notifications_total{' 'status="firing"')" -ge 1 ]; }
# targets_up NUMBER
targets_up() {
  [ "$(curl --silent --fail "$(url prometheus 9090)/api/v1/targets?state=active" | grep -o '"health":"[a-z]*"' | sort | uniq -c | xargs)" = "$1 health:up" ]
}

recorded() {
  curl --silent --fail --data-urlencode 'query=sum(app_requests_total{method="POST",endpoint="/items",http_status="201"})' \
    "$(url prometheus 9090)/api/v1/query" | grep -q ',"1"\]'
}

# run PROFILE SERVER COUNTER TARGETS: starts the stack of a profile, posts an item to SERVER that COUNTER must count, and looks at the
# containers. Prometheus counts for several replicas.
run() {
  local id status page other
  sed -i "s/^COMPOSE_PROFILES=.*/COMPOSE_PROFILES=$1/" .env
  UP_TIMEOUT=90 tools/up.sh >"$work/up.log" 2>&1 || fail "make up failed: $(cat "$work/up.log")"
  expect "status of a POST" 201 "$(curl --silent --output /dev/null --write-out '%{http_code}' \
    --header 'content-type: application/json' --data '{"name":"kept"}' "$(url "$2" 8080)/items")"
  case $1 in
    fleet) await 60 "the POST is in Prometheus" recorded ;;
    *) await 30 "the POST is on the metrics page of $3" is_posted "$3" ;;
  esac

  # Confined as compose.yaml says, by the kernel and the daemon.
  for id in $(compose ps --quiet); do
    status=/proc/$(docker inspect --format '{{.State.Pid}}' "$id")/status
    [ "$(awk '/^Uid:/ { print $2 }' "$status")" != 0 ] || fail "runs as root: $(docker inspect --format '{{.Name}}' "$id")"
    expect "capabilities" 0000000000000000 "$(awk '/^CapBnd:/ { print $2 }' "$status")"
    expect "privileges cannot grow" 1 "$(awk '/^NoNewPrivs:/ { print $2 }' "$status")"
    [[ $(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' "$id") =~ ^true\ [1-9][0-9]*\ [1-9][0-9]*$ ]] ||
      fail "expected a read-only root and limits of memory and processes"
    # Some containers of a fleet publish none.
    expect "addresses of published ports" "" \
      "$(docker inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{println .HostIp}}{{end}}{{end}}' "$id" | grep . | grep -vx 127.0.0.1)"
  done
  # Alertmanager's secrets are in the folder that it mounts; Prometheus sees only its own files.
  expect "files of Prometheus" "prometheus.yml rules targets" "$(docker exec "$(container prometheus)" /bin/busybox ls /etc/prometheus | xargs)"
  docker exec "$(container alertmanager)" /bin/busybox ls /etc/alertmanager/alertmanager.yml >/dev/null || fail "no alertmanager.yml"
  page=$(curl --silent --fail "$(url "$3" 9464)/")
  for other in Prometheus Alertmanager Grafana; do
    grep -qE "<a href=\"http://127.0.0.1:[0-9]+/\">$other</a>" <<<"$page" || fail "the status page of $3 does not link to $other"
  done
  await 45 "Prometheus has its targets" targets_up "$4"
}

run embedded app app 3
# Prometheus sends Watchdog by itself, after resend-delay (1 m) if it did not know Alertmanager at the first evaluation.
await 120 "Watchdog arrived at app through Alertmanager" notified app
app=$(container app)
expect "user of the process" "65532 65532" "$(awk '/^[UG]id:/ { print $2 }' "/proc/$(docker inspect --format '{{.State.Pid}}' "$app")/status" | xargs)"
expect "files written outside the volume" "" "$(docker diff "$app")"
for shell in /bin/sh /bin/bash /busybox/sh; do
  ! docker exec "$app" "$shell" -c true >/dev/null 2>&1 || fail "there is a $shell"
done
docker exec "$app" /metrics-host health >/dev/null || fail "metrics-host health fails while it is healthy"
! docker exec "$app" /metrics-host health --url http://127.0.0.1:1/ 2>/dev/null || fail "metrics-host health succeeds where nobody answers"
# A clean stop, and a new container on the same volume.
docker stop --time 25 "$app" >/dev/null
expect "exit code after SIGTERM" 0 "$(docker inspect --format '{{.State.ExitCode}}' "$app")"
docker rm "$app" >/dev/null
tools/up.sh >/dev/null 2>&1
expect "name of the item that was kept" kept "$(curl --silent --fail "$(url app 8080)/items" | grep -o '"name":"[^"]*"' | cut -d '"' -f 4)"
expect "POSTs counted after the restart" 1 "$(posted app)"

run spin spin sidecar 3
curl --silent --fail --header 'content-type: application/json' \
  --data '[{"labels": {"alertname": "Watchdog", "severity": "none", "job": "test-compose"}}]' "$(url alertmanager 9093)/api/v2/alerts"
await 30 "an alert arrived at sidecar through Alertmanager" notified sidecar

run fleet haproxy replica-1 5
# Each replica has the item that one of them took.
for replica in 1 2 3; do
  expect "items of replica $replica" kept "$(docker exec "$(container haproxy)" /bin/busybox wget -q -O - "http://replica-$replica:8080/items" |
    grep -o '"name":"[^"]*"' | cut -d '"' -f 4)"
done

tools/down.sh >/dev/null 2>&1
expect "containers after make down" "" "$(compose ps --quiet)"
echo "$test: passed"
