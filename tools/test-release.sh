#!/usr/bin/env bash
# Tests promotion and rollback against a registry on this machine: digests stay, tags are not moved, an image that is not verified is not
# run, and one that does not work is replaced by the one before. Nobody can sign here: stand-ins answer for gh and cosign.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh docker-registry skopeo
# shellcheck source=tools/stand-ins.sh
. tools/stand-ins.sh

# refused WHAT PATTERN COMMAND...: the command fails, and says why.
refused() {
  local said
  if said=$("${@:3}" 2>&1); then fail "$1: expected a refusal, got: $said"; fi
  grep -q "$2" <<<"$said" || fail "$1: expected \"$2\", got: $said"
}

port=$(tools/free-port.sh)
repository=127.0.0.1:$port/$name
printf '%s\n' 'version: 0.1' "storage: {filesystem: {rootdirectory: $work/registry}}" "http: {addr: \"127.0.0.1:$port\"}" >"$work/registry.yml"
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
trap 'kill $! 2>/dev/null; cleanup' EXIT
await 20 "the registry answers" answers "http://127.0.0.1:$port/v2/" || fail "$(tail -n 3 "$work/registry.log")"
# The registry speaks no TLS. Debian's skopeo reads in its home only that this is allowed.
mkdir -p "$work/bin" "$work/home/.config/containers"
printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$port" >"$work/home/.config/containers/registries.conf"
printf '#!/bin/sh\nHOME="%s" exec "%s" "$@"\n' "$work/home" "$(command -v skopeo)" >"$work/bin/skopeo"
# These note what they are asked, and accept it unless told not to.
for command in gh cosign; do
  printf '#!/bin/sh\necho "%s $*" >>"%s"\n[ ! -e "%s" ]\n' "$command" "$work/asked" "$work/refuse" >"$work/bin/$command"
done
chmod 755 "$work/bin"/*
export PATH="$work/bin:$PATH" REPOSITORY=owner/metrics-host

# Three versions: two that work and one that does not start.
archive() {
  printf 'FROM %s\nLABEL test.version=%s\n%s\n' "$name-app" "$1" "${2:-}" | docker build --quiet --tag "$name:$1" - >/dev/null
  docker save --output "$work/$1.saved" "$name:$1"
  skopeo copy --quiet "docker-archive:$work/$1.saved" "oci-archive:$work/$1.tar"
}
archive first
archive second
archive broken 'CMD ["serve", "--no-such-flag"]'

promote() { tools/release/promote.sh "$@"; }
first=$(promote "oci-archive:$work/first.tar" "$repository" sha-1)
second=$(promote "oci-archive:$work/second.tar" "$repository" sha-2)
broken=$(promote "oci-archive:$work/broken.tar" "$repository" sha-3)
[ "$first" != "$second" ] || fail "two images have one digest: $first"
digest() { skopeo inspect --format '{{.Digest}}' "docker://$repository:$1"; }
for tag in staging-1 v1.0.0; do
  expect "digest promoted to $tag" "$first" "$(promote "$first" "$repository" "$tag")"
  expect "digest of $tag" "$first" "$(digest "$tag")"
done
expect "promoting again" "$first" "$(promote "$first" "$repository" v1.0.0)"
refused "moving a tag" "tags are not moved" promote "$second" "$repository" v1.0.0
refused "pushing over a tag" "tags are not moved" promote "oci-archive:$work/second.tar" "$repository" sha-1
refused "a registry that does not answer" "cannot tell whether" promote "oci-archive:$work/first.tar" 127.0.0.1:1/metrics-host v1
expect "digest of v1.0.0 after that" "$first" "$(digest v1.0.0)"

# skopeo drops the Dockerfile's health check where it makes an OCI image of a Docker one.
echo '  app: {healthcheck: {test: [CMD, /metrics-host, health], interval: 2s, timeout: 6s, retries: 3, start_period: 30s}}' >>"$work/stand-ins.yaml"
cd "$deployment"
sed -i "s|^METRICS_HOST_IMAGE=.*|METRICS_HOST_IMAGE=$repository@$second|" .env
running() { docker inspect --format '{{.Config.Image}} {{.State.Health.Status}}' "$(compose ps --quiet app)"; }
export UP_TIMEOUT=40
tools/up.sh >/dev/null
expect "what runs at first" "$repository@$second healthy" "$(running)"

refused "a tag instead of a digest" "expected IMAGE=" tools/rollback.sh "$repository:v1.0.0"
touch "$work/refuse"
refused "an image that is not verified" "" tools/rollback.sh "$repository@$first"
rm "$work/refuse" "$work/asked"
expect "what runs after both" "$repository@$second healthy" "$(running)"

tools/rollback.sh "$repository@$first" >/dev/null
expect "what runs after the rollback" "$repository@$first healthy" "$(running)"
for asked in "gh attestation verify oci://$repository@$first --repo owner/metrics-host --signer-workflow owner/metrics-host/.github/workflows/release.yml" \
  "cosign verify .*--certificate-identity-regexp .*owner/metrics-host.* $repository@$first"; do
  grep -q "$asked" "$work/asked" || fail "expected to be asked \"$asked\", was asked: $(cat "$work/asked")"
done

refused "an image that does not start" "$repository@$first is back" tools/rollback.sh "$repository@$broken"
expect "what runs after that" "$repository@$first healthy" "$(running)"
expect "what starts next time" "METRICS_HOST_IMAGE=$repository@$first" "$(grep METRICS_HOST_IMAGE .env)"
echo "$test: passed"
