#!/usr/bin/env bash
# Checks the dependencies, also those of the fuzz targets, against the advisory database.
set -euo pipefail
cd "$(dirname "$0")/.."
database=https://github.com/rustsec/advisory-db

git ls-remote --exit-code --heads "$database" >/dev/null 2>&1 || tools/skip.sh "the advisory database cannot be reached"
for manifest in Cargo.toml fuzz/Cargo.toml; do
  cargo fetch --locked --manifest-path "$manifest"
  tools/linter.sh cargo-deny --locked --manifest-path "$manifest" --config deny.toml check
done
