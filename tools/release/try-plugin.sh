#!/usr/bin/env bash
# try-plugin.sh URL [FOLDER]: has a real Spin install the plugin from URL/metrics.json, and tries it. FOLDER has the files of a release that
# is not published yet: a web server of this machine stands for URL.
set -euo pipefail
url=$1 folder=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
spin=$(command -v spin || tools/install-spin.sh)
PATH="$(dirname "$spin"):$PATH"

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server"
  rm -rf "$work"
}
trap cleanup EXIT
export SPIN_DATA_DIR=$work/spin
if [ -n "$folder" ]; then
  port=$(tools/free-port.sh)
  mkdir "$work/www"
  ln -s "$folder"/metrics-*.tar.gz "$work/www"
  sed "s|$url/|http://127.0.0.1:$port/|" "$folder/metrics.json" >"$work/www/metrics.json"
  python3 -m http.server --directory "$work/www" --bind 127.0.0.1 "$port" >/dev/null 2>&1 &
  server=$!
  url=http://127.0.0.1:$port
  await 20 "a web server for the plugin" answers "$url/metrics.json"
fi
spin plugins install --yes --url "$url/metrics.json"
tools/release/smoke.sh spin metrics
