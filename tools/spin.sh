#!/usr/bin/env bash
# Runs the items API under `spin up` beside a sidecar; Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(spin --version 2>/dev/null | awk '{ print $2 }') || true
if ! printf '4.1\n%s\n' "${version%%-*}" | sort --check=quiet --version-sort; then
  echo "spin 4.1 or newer is needed, for WASI 0.3; on PATH: ${version:-no spin}. Install it as spinframework.dev/install describes" >&2
  exit 1
fi
target/release/metrics-host sidecar &
trap 'kill $! 2>/dev/null || true; wait' EXIT
spin up --listen 127.0.0.1:8080
