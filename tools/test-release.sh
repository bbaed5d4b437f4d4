#!/usr/bin/env bash
# Tests promotion and rollback against a registry of our own: digests stay, tags are not moved, what is not verified is not run, and
# what does not work is replaced by what did. Signatures cannot be made here: in the places of gh and cosign there are stand-ins.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
# shellcheck source=tools/stand-ins.sh
. tools/stand-ins.sh
# shellcheck source=tools/await.sh
. tools/await.sh

tools/need.sh prometheus prometheus
tools/need.sh prometheus-alertmanager prometheus-alertmanager
tools/need.sh busybox busybox-static
tools/need.sh docker-registry docker-registry
tools/need.sh skopeo skopeo
isolate

work=$(mktemp -d)
chmod 755 "$work"
name=metrics-host-release-$$
registry_pid=
deployment=$work/deployment
cleanup() {
  [ ! -e "$deployment/.env" ] || (cd "$deployment" && compose down --volumes --timeout 5 >/dev/null 2>&1) || true
  docker image ls --quiet --filter "reference=$name*" 2>/dev/null | sort -u | xargs -r "$docker_client" image rm --force >/dev/null || true
  docker image ls --quiet --filter "reference=127.0.0.1:*/metrics-host*" 2>/dev/null | sort -u | xargs -r "$docker_client" image rm --force >/dev/null || true
  stop_daemon
  [ -z "$registry_pid" ] || kill "$registry_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "test-release: $*" >&2
  [ ! -s "$work/registry.log" ] || tail -n 3 "$work/registry.log" >&2
  exit 1
}
# expect WHAT EXPECTED ACTUAL
expect() {
  [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}
# refused WHAT PATTERN COMMAND...: the command fails, and says why.
refused() {
  local what=$1 pattern=$2 said
  shift 2
  if said=$("$@" 2>&1); then fail "$what: expected a refusal, got: $said"; fi
  grep -q "$pattern" <<<"$said" || fail "$what: expected \"$pattern\", got: $said"
}

start_daemon "$work/docker"
port=$(tools/free-port.sh)
registry=127.0.0.1:$port
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "$registry"}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry_pid=$!
await 20 "the registry answers" answers "http://$registry/v2/"
# It speaks no TLS, which skopeo allows here only. Debian's skopeo reads that in its home only.
mkdir -p "$work/bin" "$work/home/.config/containers"
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" >"$work/home/.config/containers/registries.conf"
printf '#!/bin/sh\nHOME="%s" exec "%s" "$@"\n' "$work/home" "$(command -v skopeo)" >"$work/bin/skopeo"
chmod 755 "$work/bin/skopeo"
export PATH="$work/bin:$PATH"

# Three versions: two that work and one that does not start.
app_image "$work" "$name"
archive() {
  printf 'FROM %s\nLABEL test.version=%s\n%s\n' "$name" "$1" "${2:-}" | docker build --quiet --tag "$name:$1" - >/dev/null
  docker save --output "$work/$1.saved" "$name:$1"
  skopeo copy --quiet "docker-archive:$work/$1.saved" "oci-archive:$work/$1.tar"
  rm "$work/$1.saved"
}
archive first
archive second
archive broken 'CMD ["serve", "--no-such-flag"]'

repository=$registry/metrics-host
first=$(tools/release/promote.sh "oci-archive:$work/first.tar" "$repository" sha-1)
second=$(tools/release/promote.sh "oci-archive:$work/second.tar" "$repository" sha-2)
broken=$(tools/release/promote.sh "oci-archive:$work/broken.tar" "$repository" sha-3)
[ "$first" != "$second" ] || fail "two images have one digest: $first"
for tag in staging-1 v1.0.0; do
  expect "digest promoted to $tag" "$first" "$(tools/release/promote.sh "$first" "$repository" "$tag")"
  expect "digest of $tag" "$first" "$(skopeo inspect --format '{{.Digest}}' "docker://$repository:$tag")"
done
expect "promoting again" "$first" "$(tools/release/promote.sh "$first" "$repository" v1.0.0)"
refused "moving a tag" "tags are not moved" tools/release/promote.sh "$second" "$repository" v1.0.0
refused "pushing over a tag" "tags are not moved" tools/release/promote.sh "oci-archive:$work/second.tar" "$repository" sha-1
refused "a registry that does not answer" "cannot tell whether" tools/release/promote.sh "oci-archive:$work/first.tar" 127.0.0.1:1/metrics-host v1
expect "digest of v1.0.0 after that" "$first" "$(skopeo inspect --format '{{.Digest}}' "docker://$repository:v1.0.0")"

# A deployment of its own, so that nobody's .env is touched.
mkdir -p "$deployment/secrets"
cp -r compose.yaml tools alerts grafana "$deployment"
chmod -R go+rX "$deployment"
head -c 18 /dev/urandom | base64 >"$deployment/secrets/password"
cat >"$deployment/.env" <<ENV
COMPOSE_PROJECT_NAME=$name
COMPOSE_PROFILES=embedded
GRAFANA_ADMIN_PASSWORD_FILE=./secrets/password
API_PORT=18080
METRICS_PORT=19464
PROMETHEUS_PORT=19090
ALERTMANAGER_PORT=19093
GRAFANA_PORT=13000
METRICS_HOST_IMAGE=$repository@$second
ENV
cat >"$work/stand-ins.yaml" <<YAML
services:
  # As in the Dockerfile: skopeo drops it where it makes an OCI image of a Docker one, which only happens here.
  app: {healthcheck: {test: [CMD, /metrics-host, health], interval: 2s, timeout: 6s, retries: 3, start_period: 30s}}
  prometheus: {image: $name-prometheus}
  alertmanager: {image: $name-alertmanager}
  grafana: {image: $name-grafana}
YAML
export COMPOSE_FILE=$deployment/compose.yaml:$work/stand-ins.yaml
prometheus_image "$work" "$name-prometheus"
alertmanager_image "$work" "$name-alertmanager"
grafana_image "$work" "$name-grafana"

# They note what they are asked, and accept it unless told not to.
for command in gh cosign; do
  printf '#!/bin/sh\necho "%s $*" >>"%s"\n[ ! -e "%s" ]\n' "$command" "$work/asked" "$work/refuse" >"$work/bin/$command"
done
chmod 755 "$work/bin"/*
export REPOSITORY=owner/metrics-host

cd "$deployment"
running() {
  docker inspect --format '{{.Config.Image}} {{.State.Health.Status}}' "$(compose ps --quiet app)"
}
export UP_TIMEOUT=40
tools/up.sh >/dev/null
expect "what runs at first" "$repository@$second healthy" "$(running)"

refused "a tag instead of a digest" "expected IMAGE=" tools/rollback.sh "$repository:v1.0.0"
touch "$work/refuse"
refused "what is not verified" "" tools/rollback.sh "$repository@$first"
rm "$work/refuse"
expect "what runs after both" "$repository@$second healthy" "$(running)"

: >"$work/asked"
tools/rollback.sh "$repository@$first" >/dev/null
expect "what runs after the rollback" "$repository@$first healthy" "$(running)"
for asked in "gh attestation verify oci://$repository@$first --repo owner/metrics-host --signer-workflow owner/metrics-host/.github/workflows/release.yml" \
  "cosign verify .*--certificate-identity-regexp .*owner/metrics-host.* $repository@$first"; do
  grep -q "$asked" "$work/asked" || fail "expected to be asked \"$asked\", was asked: $(cat "$work/asked")"
done

refused "what does not start" "$repository@$first is back" tools/rollback.sh "$repository@$broken"
expect "what runs after that" "$repository@$first healthy" "$(running)"
expect "what starts next time" "METRICS_HOST_IMAGE=$repository@$first" "$(grep METRICS_HOST_IMAGE .env)"
echo "test-release: passed"
