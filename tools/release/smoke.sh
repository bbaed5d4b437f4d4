#!/usr/bin/env bash
# smoke.sh COMMAND...: checks that COMMAND, a path of metrics-host or `spin metrics`, works on this machine: it has the version of this
# tree, counts a request in front of a web server (and, as a plugin, in front of `spin up`), and its `add` names the gateway
# METRICS_HOST_GATEWAY_URL, METRICS_HOST_GATEWAY_DIGEST, or none if they are not set. The bash of macOS is 3.2.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
fail() { echo "smoke: $*" >&2; exit 1; }

work=$(mktemp -d)
pid=
cleanup() {
  [ $? = 0 ] || tail -n 20 "$work"/*.log >&2
  [ -z "$pid" ] || kill -INT "$pid" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT
# counts PATH COMMAND...: the command, a proxy, counts a GET of PATH.
counts() {
  rm -f "$work/addresses.json"
  "${@:2}" >"$work/proxy.log" 2>&1 &
  pid=$!
  await 30 "metrics-host says where it listens" test -s "$work/addresses.json"
  await 60 "what it stands in front of listens" answers "http://$(address "$work/addresses.json" metrics)/-/ready"
  answers "http://$(address "$work/addresses.json" api)$1" || fail "expected an answer to GET $1"
  curl --silent --show-error --fail "http://$(address "$work/addresses.json" metrics)/metrics" >"$work/page"
  grep -Eq '^app_requests_total\{.*application="smoke".*http_status="200".*\} 1$' "$work/page" ||
    fail "expected one request, got: $(grep '^app_requests_total.* [1-9]' "$work/page")"
  # As Ctrl-C does, but to this process alone: it ends what it started by SIGTERM, and takes over its exit code.
  kill -INT "$pid"
  wait "$pid" || [ $? = 143 ] || fail "expected ${*:2} to end by SIGTERM"
  pid=
}

version=$(tools/version.sh)
said=$("$@" --version)
grep -qF "metrics-host $version (" <<<"$said" || fail "expected version $version, got: $said"

proxy=(--application smoke --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 --state-dir "$work/state"
  --addresses-file "$work/addresses.json")
mkdir "$work/www"
counts / "$@" proxy "${proxy[@]}" -- python3 -m http.server --directory "$work/www" --bind 127.0.0.1 '{port}'
rm -rf "$work/state"
if [ "${2:-}" = metrics ]; then
  counts /items "$@" up "${proxy[@]}" -- --quiet --state-dir "$work/spin"
fi

url=${METRICS_HOST_GATEWAY_URL:-} digest=${METRICS_HOST_GATEWAY_DIGEST:-}
if [ -n "$url$digest" ]; then
  "$@" add --dry-run spin.toml >"$work/diff" 2>"$work/add.log"
  grep -qF "+source = { url = \"$url\", digest = \"$digest\" }" "$work/diff" || fail "expected the gateway $url, $digest, got: $(cat "$work/diff")"
elif said=$("$@" add --dry-run spin.toml 2>&1); then
  fail "expected a build without a gateway, got: $said"
fi
echo "smoke: $*: $version"
