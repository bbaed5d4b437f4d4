#!/usr/bin/env bash
# python.sh LOCK: prints the path of a Python environment under target/tools with the packages of LOCK, whose hashes it checks.
set -euo pipefail
# The name changes with the lock.
environment=$(dirname "$(realpath "$0")")/../target/tools/python-$(sha256sum "$1" | cut -c 1-12)
environment=$(realpath --canonicalize-missing "$environment")
mkdir -p "$environment"
exec 9>"$environment.lock"
flock 9
if [ ! -e "$environment/complete" ]; then
  echo "installing what $1 names into $environment" >&2
  # Debian has the module that makes environments in a package of its own.
  python3 -c 'import ensurepip' 2>/dev/null || "$(dirname "$0")/need.sh" python3-with-venv:python3-venv
  python3 -m venv --clear "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement "$1" >&2
  touch "$environment/complete"
fi
echo "$environment"
