#!/usr/bin/env bash
# try-plugin.sh URL [FOLDER]: has a real Spin install the plugin from URL/metrics.json, and tries it; and has it load the gateway from
# METRICS_HOST_GATEWAY_URL, if that is set. FOLDER has the files of a release that is not published yet: a web server of this machine stands
# for URL.
set -euo pipefail
url=$1 folder=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
spin=$(command -v spin || tools/install-spin.sh)
PATH="$(dirname "$spin"):$PATH"

# shellcheck source=tools/scratch.sh
. tools/scratch.sh
# Not the cache of this machine, which may hold the gateway.
export SPIN_DATA_DIR=$work/data XDG_CACHE_HOME=$work/cache
published=$url
if [ -n "$folder" ]; then
  port=$(tools/free-port.sh)
  mkdir "$work/www"
  ln -s "$folder"/metrics-*.tar.gz "$folder"/*.wasm "$work/www"
  sed "s|$url/|http://127.0.0.1:$port/|" "$folder/metrics.json" >"$work/www/metrics.json"
  python3 -m http.server --directory "$work/www" --bind 127.0.0.1 "$port" >/dev/null 2>&1 &
  pids+=($!)
  url=http://127.0.0.1:$port
  await 20 "a web server for the plugin" answers "$url/metrics.json"
fi
spin plugins install --yes --url "$url/metrics.json"
tools/release/smoke.sh spin metrics

if [ -n "${METRICS_HOST_GATEWAY_URL:-}" ]; then
  sed "s|\"target/|\"$PWD/target/|" spin.toml >"$work/spin.toml"
  spin metrics add --yes "$work/spin.toml" >"$work/add.log" 2>&1
  sed -i "s|$published/|$url/|" "$work/spin.toml"
  api=127.0.0.1:$(tools/free-port.sh)
  spin up --quiet --listen "$api" --from "$work/spin.toml" --state-dir "$work/state" >"$work/spin.log" 2>&1 &
  pids+=($!)
  await 60 "the gateway answers" answers "http://$api/items"
  echo "try-plugin: Spin loads the gateway, and the application answers through it"
fi
