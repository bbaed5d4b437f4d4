#!/usr/bin/env bash
# Runs the commands of docs/quick-start.md as a stranger would: installs a release's archive from a web server of this machine, then
# counts the first request of the items service under each command that this machine can run. Prints the seconds from the download to
# the first metric. HOST=FILE names another binary than that of `make build`.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh jq
# shellcheck source=tools/wait.sh
. tools/wait.sh
# shellcheck source=tools/scratch.sh
. tools/scratch.sh
fail() { echo "test-quick-start: $*" >&2; exit 1; }
# block NUMBER HEADING: prints a block of commands below a heading of the page.
block() {
  awk -v wanted="$1" -v heading="## $2" '/^## / { here = ($0 == heading) } /^```$/ { on = 0 } on { print } /^```sh$/ { on = (here && ++number == wanted) }' \
    docs/quick-start.md | grep . || fail "expected block $1 of commands below \"$2\""
}

version=$(tools/version.sh) arch=$(uname -m | sed 's/x86_64/amd64/')
mkdir -p "$work/www" "$work/bin" "$work/app" "$work/download"
# Line tables are most of the file.
objcopy --strip-debug "${HOST:-target/release/metrics-host}" "$work/www/binary"
tools/release/plugin.sh "$work/www" http://release.invalid "$work/www/binary:linux:$arch"
(cd "$work/www" && sha256sum -- *.tar.gz >SHA256SUMS)
web=127.0.0.1:$(tools/free-port.sh) api=127.0.0.1:$(tools/free-port.sh) metrics=127.0.0.1:$(tools/free-port.sh)
python3 -m http.server --directory "$work/www" --bind 127.0.0.1 "${web#*:}" >"$work/web.log" 2>&1 &
pids+=($!)
await 20 "a web server for the release" answers "http://$web/SHA256SUMS"
sed "s|\"target/|\"$PWD/target/|" spin.toml >"$work/app/spin.toml"

install=$(block 1 Install | sed -e "s|VERSION|$version|" -e "s|linux-amd64|linux-$arch|" -e "s|https://github.com/OWNER/NAME/releases/download/v\$version|http://$web|" \
  -e "s|sudo install|install|" -e "s|/usr/local/bin|$work/bin|")
see=$(block 1 See | sed -e "s|127.0.0.1:8080|$api|" -e "s|127.0.0.1:9464|$metrics|")
start=$(date +%s%N)
(cd "$work/download" && bash -euo pipefail -c "$install") >"$work/install.log" 2>&1
PATH=$work/bin:$PATH
export METRICS_HOST_LISTEN=$api METRICS_HOST_METRICS_LISTEN=$metrics METRICS_HOST_OTLP_LISTEN=off

# tries NUMBER NAME: runs a block of the page in the folder of the application, and sees the first request counted.
tries() {
  local command pid page
  command=$(block "$1" Run)
  (cd "$work/app" && exec bash -c "exec $command") >"$work/$2.log" 2>&1 &
  pid=$!
  pids+=("$pid")
  await 180 "$command is ready" answers "http://$metrics/-/ready"
  page=$(bash -euo pipefail -c "$see")
  grep -Eq 'http_status="200".* 1$' <<<"$page" || fail "$command: expected one request, got: $page"
  echo "test-quick-start: $command: the first metric after $((($(date +%s%N) - start) / 1000000)) ms"
  kill "$pid"
  wait "$pid" || true
}
# Each is timed from its own start; the first one includes the download.
if command -v spin >/dev/null; then
  tries 1 proxy
  start=$(date +%s%N)
else
  echo "test-quick-start: no Spin on PATH, so nothing was counted in front of it"
fi
tries 2 serve
