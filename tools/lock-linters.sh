#!/usr/bin/env bash
# Writes the locks of the linters, the tools of test-deploy, the Flask baseline, axe-core and the SDKs of tests, with the hash of every file, after a change of
# requirements.in or package.json.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh npm

environment=$(tools/packages.sh tools/linters/requirements.txt)
"$environment/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2
for directory in tools/linters tools/deploy bench/flask bench/compare/peers metrics-host/tests/{it/sdk,it/status/axe,it/templates,languages/javascript,languages/python}; do
  # Each machine has its own addresses of package indexes.
  [ ! -e "$directory/requirements.in" ] ||
    "$environment/bin/pip-compile" --quiet --generate-hashes --strip-extras --no-header --no-annotate \
      --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
      --output-file "$directory/requirements.txt" "$directory/requirements.in"
  [ ! -e "$directory/package.json" ] ||
    npm install --prefix "$directory" --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --silent
done
