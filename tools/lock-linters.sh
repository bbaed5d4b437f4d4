#!/usr/bin/env bash
# Writes the locks of tools/linters and bench/flask anew, with the hash of every file, after a change of requirements.in or
# package.json.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -c 'import ensurepip' 2>/dev/null || tools/need.sh python3-with-venv python3-venv
tools/need.sh npm npm

environment=target/tools/pip-tools
[ -x "$environment/bin/pip-compile" ] || {
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2
}
for directory in tools/linters bench/flask; do
  # No addresses of package indexes: each machine has its own.
  "$environment/bin/pip-compile" --quiet --generate-hashes --strip-extras --no-header --no-annotate \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
    --output-file "$directory/requirements.txt" "$directory/requirements.in"
done
npm install --prefix tools/linters --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --silent
