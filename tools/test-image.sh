#!/usr/bin/env bash
# Tests the image: its last stage, built of local artefacts, is started and asked what an operator relies on.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
# shellcheck source=tools/stand-ins.sh
. tools/stand-ins.sh

isolate
work=$(mktemp -d)
tag=metrics-host-test-$$
container=
cleanup() {
  [ -z "$container" ] || docker rm --force "$container" >/dev/null
  docker volume rm --force "$tag" >/dev/null 2>&1 || true
  docker image rm --force "$tag" "$tag-base" "$tag-artefacts" >/dev/null 2>&1 || true
  stop_daemon
  rm -rf "$work"
}
trap cleanup EXIT
start_daemon "$work/docker"

fail() {
  echo "test-image: $*" >&2
  [ -z "$container" ] || docker logs --tail 20 "$container" >&2
  exit 1
}

# expect WHAT EXPECTED ACTUAL
expect() {
  [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}

# The stage `build` takes a registry; that its context holds every member of the workspace can be told without one.
printf 'FROM scratch\nCOPY . .\n' | docker build --quiet --output "type=local,dest=$work/context" --file - . >/dev/null
cargo metadata --no-deps --offline --locked --format-version 1 --manifest-path "$work/context/Cargo.toml" >/dev/null ||
  fail "the build context lacks something of the workspace: see .dockerignore"
[ -x "$work/context/tools/build-component.sh" ] || fail "the build context lacks the script that builds the component: see .dockerignore"
[ -z "$(find "$work/context" -name '*.wasm' -o -name '.git' -o -name target)" ] || fail "the build context holds what was built"
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
grep -q "^ARG RUST_IMAGE=rust:$channel-" Dockerfile || fail "the Dockerfile's Rust is not $channel, which rust-toolchain.toml pins"

app_image "$work" "$tag"

image() { docker image inspect --format "$1" "$tag"; }
expect "user" 65532:65532 "$(image '{{.Config.User}}')"
expect "entry point" '["/metrics-host"]["serve"]' "$(image '{{json .Config.Entrypoint}}{{json .Config.Cmd}}')"
expect "health check" '["CMD","/metrics-host","health"]' "$(image '{{json .Config.Healthcheck.Test}}')"
expect "version" 1.2.3 "$(image '{{index .Config.Labels "org.opencontainers.image.version"}}')"
expect "revision" 0123456789abcdef "$(image '{{index .Config.Labels "org.opencontainers.image.revision"}}')"

# Starts it as compose.yaml does, and finds where it listens.
start() {
  container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
    --memory 512m --pids-limit 640 --volume "$tag:/var/lib/metrics-host" \
    --publish 127.0.0.1::8080 --publish 127.0.0.1::9464 "$tag")
  tools/wait-healthy.sh 60 "$container"
  api=http://$(docker port "$container" 8080)
  metrics=http://$(docker port "$container" 9464)
}
# Prints how many items were posted, as /metrics has it.
posted() {
  curl --silent --fail "$metrics/metrics" |
    awk '/^app_requests_total/ && /method="POST"/ && /endpoint="\/items"/ && /http_status="201"/ { print $2 }'
}

start
expect "status of a POST" 201 "$(curl --silent --output /dev/null --write-out '%{http_code}' \
  --header 'content-type: application/json' --data '{"name":"kept"}' "$api/items")"
expect "POSTs counted" 1 "$(posted)"

process=/proc/$(docker inspect --format '{{.State.Pid}}' "$container")
expect "user of the process" "65532 65532" "$(awk '/^[UG]id:/ { print $2 }' "$process/status" | xargs)"
expect "capabilities" 0000000000000000 "$(awk '/^CapBnd:/ { print $2 }' "$process/status")"
expect "privileges cannot grow" 1 "$(awk '/^NoNewPrivs:/ { print $2 }' "$process/status")"
expect "files written outside the volume" "" "$(docker diff "$container")"
for shell in /bin/sh /bin/bash /busybox/sh; do
  ! docker exec "$container" "$shell" -c true >/dev/null 2>&1 || fail "there is a $shell"
done
docker exec "$container" /metrics-host health >/dev/null || fail "metrics-host health fails while it is healthy"
! docker exec "$container" /metrics-host health --url http://127.0.0.1:1/ 2>/dev/null || fail "metrics-host health succeeds where nobody answers"

# A clean stop, and a new container on the same volume.
docker stop --time 25 "$container" >/dev/null
expect "exit code after SIGTERM" 0 "$(docker inspect --format '{{.State.ExitCode}}' "$container")"
docker rm "$container" >/dev/null
start
expect "name of the item that was kept" kept "$(curl --silent --fail "$api/items" | grep -o '"name":"[^"]*"' | cut -d '"' -f 4)"
expect "POSTs counted after the restart" 1 "$(posted)"
echo "test-image: passed"
