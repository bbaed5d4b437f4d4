#!/usr/bin/env bash
# packages.sh LOCK: prints the path of a folder under target/tools with the packages of LOCK, whose hashes it checks. For requirements.txt
# it is a Python environment; for package-lock.json it has node_modules.
set -euo pipefail
tools=$(dirname "$(realpath "$0")")
kind=python
[[ $1 != *.json ]] || kind=node
# The name changes with the lock.
packages=$(realpath --canonicalize-missing "$tools/../target/tools/$kind-$(sha256sum "$1" | cut -c 1-12)")
mkdir -p "$packages"
exec 9>"$packages.lock"
flock 9
if [ ! -e "$packages/complete" ]; then
  echo "installing what $1 names into $packages" >&2
  if [ "$kind" = node ]; then
    "$tools/need.sh" npm
    install -m 644 -t "$packages" "$(dirname "$1")/package.json" "$1"
    npm ci --prefix "$packages" --ignore-scripts --no-audit --no-fund --silent >&2
  else
    # Debian has the module that makes environments in a package of its own.
    python3 -c 'import ensurepip' 2>/dev/null || "$tools/need.sh" python3-with-venv:python3-venv
    python3 -m venv --clear "$packages"
    "$packages/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement "$1" >&2
  fi
  touch "$packages/complete"
fi
echo "$packages"
