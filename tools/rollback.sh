#!/usr/bin/env bash
# rollback.sh IMAGE@sha256:DIGEST: runs the stack of compose.yaml with an earlier image, after verifying it. If that does not become
# healthy or fails its check, starts the image that ran before, and exits with 1.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
fail() { echo "rollback: $*" >&2; exit 1; }

image=${1:-}
[[ $image =~ ^[^@]+@sha256:[0-9a-f]{64}$ ]] ||
  fail "expected IMAGE=NAME@sha256:<64 hexadecimal digits>, as the notes of a release have it, got \"$image\""
[ -f .env ] || fail "there is no .env: run \`cp .env.example .env\`"
[ "$(setting COMPOSE_PROFILES)" = embedded ] || fail "COMPOSE_PROFILES in .env must be embedded: the images of other profiles are not rolled back"
tools/release/verify.sh "$image"
docker pull --quiet "$image" >/dev/null || fail "$image cannot be pulled"

# use IMAGE: runs it, now and at every later start; an empty name stands for the image that is built here.
use() {
  local env
  env=$(grep -v '^METRICS_HOST_IMAGE=' .env || true)
  printf '%s\nMETRICS_HOST_IMAGE=%s\n' "$env" "$1" >.env.new && mv .env.new .env && tools/up.sh
}
# Asks for an item list, and whether it was counted.
check() {
  curl --silent --show-error --fail --max-time 10 --output /dev/null "http://$(compose port app 8080)/items" || return
  curl --silent --show-error --fail --max-time 10 "http://$(compose port app 9464)/metrics" |
    grep -E '^app_requests_total\{.*endpoint="/items".*http_status="200"' | grep -qvE ' 0$'
}
before=$(setting METRICS_HOST_IMAGE)
if use "$image" && check; then
  echo "rollback: $image runs in place of ${before:-the image built here}, until METRICS_HOST_IMAGE in .env is changed"
  exit
fi
use "$before" || fail "$image does not work, and the image that ran before does not start again: see above"
fail "$image does not work; ${before:-the image built here} is back"
