#!/usr/bin/env bash
# bare.sh BINARY: checks that a metrics-host for Linux needs nothing of the system. In a root directory that has the binary, the items
# application and a folder for its state, and without an environment, it has the version of this tree, serves, counts and ends. It has the
# network of this machine, but looks up no name and speaks no TLS. Takes root or user namespaces.
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
# shellcheck source=tools/scratch.sh
. tools/scratch.sh
fail() { echo "bare: $*" >&2; exit 1; }

enter=(env -i unshare)
[ "$(id -u)" = 0 ] || enter+=(--map-root-user)
"${enter[@]}" --root / true 2>/dev/null || tools/skip.sh "an empty root directory takes root or user namespaces, and there is neither"
root=$work/root
mkdir -p "$root/app" "$root/state"
install -m 755 "$binary" "$root/metrics-host"
cp --parents spin.toml target/wasm32-wasip2/component/items_component.wasm "$root/app"
enter+=(--root "$root" /metrics-host)

version=$(tools/version.sh)
said=$("${enter[@]}" --version)
grep -qF "metrics-host $version (" <<<"$said" || fail "expected version $version, got: $said"

"${enter[@]}" serve --manifest /app/spin.toml --state-dir /state --addresses-file /state/addresses.json \
  --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --otlp-listen off >"$work/serve.log" 2>&1 &
pid=$!
pids+=("$pid")
# It compiles the component first.
await 120 "metrics-host says where it listens" test -s "$root/state/addresses.json"
await 120 "the items application is ready" answers "http://$(address "$root/state/addresses.json" metrics)/-/ready"
status=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://$(address "$root/state/addresses.json" api)/items")
[ "$status" = 200 ] || fail "expected 200 for GET /items, got $status"
page=$(curl --silent --show-error --fail "http://$(address "$root/state/addresses.json" metrics)/metrics")
grep -Eq '^app_requests_total\{.*endpoint="/items".*http_status="200".*\} 1$' <<<"$page" ||
  fail "expected one request, got: $(grep '^app_requests_total.* [1-9]' <<<"$page")"
kill "$pid"
wait "$pid" || fail "expected it to end by SIGTERM with 0, got $?"
echo "bare: $1: $version"
