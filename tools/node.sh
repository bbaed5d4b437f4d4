#!/usr/bin/env bash
# node.sh FOLDER: prints the path of a folder under target/tools with the node_modules of FOLDER/package-lock.json, whose hashes npm checks.
set -euo pipefail
# The name changes with the lock.
modules=$(dirname "$(realpath "$0")")/../target/tools/node-$(sha256sum "$1/package-lock.json" | cut -c 1-12)
modules=$(realpath --canonicalize-missing "$modules")
mkdir -p "$modules"
exec 9>"$modules.lock"
flock 9
if [ ! -e "$modules/complete" ]; then
  echo "installing what $1/package-lock.json names into $modules" >&2
  "$(dirname "$0")/need.sh" npm
  install -D -m 644 -t "$modules" "$1/package.json" "$1/package-lock.json"
  npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --silent >&2
  touch "$modules/complete"
fi
echo "$modules"
