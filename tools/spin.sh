#!/usr/bin/env bash
# Runs the items API under `spin up` beside a sidecar; both end with Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v spin >/dev/null; then
  echo "spin 4.1 or newer is needed: install it as spinframework.dev/install describes" >&2
  exit 1
fi
version=$(spin --version | awk '{ print $2 }')
if ! printf '4.1\n%s\n' "${version%%-*}" | sort --check=quiet --version-sort; then
  echo "spin 4.1 or newer is needed for WASI 0.3, and this is $version" >&2
  exit 1
fi
target/release/metrics-host sidecar &
sidecar=$!
trap 'kill "$sidecar" 2>/dev/null || true; wait "$sidecar" || true' EXIT
spin up --listen 127.0.0.1:8080
