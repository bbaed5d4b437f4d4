#!/usr/bin/env bash
# Prints the path of the Python environment that the Flask baseline of `make bench` runs in, installed where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Named by what is pinned: a change installs anew.
environment=$PWD/target/tools/flask-$(sha256sum bench/flask/requirements.txt | cut -c 1-12)
if [ ! -e "$environment/complete" ]; then
  python3 -c 'import ensurepip' 2>/dev/null || tools/need.sh python3-with-venv python3-venv >&2
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement bench/flask/requirements.txt >&2
  touch "$environment/complete"
fi
echo "$environment"
