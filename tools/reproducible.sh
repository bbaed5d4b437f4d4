#!/usr/bin/env bash
# Builds the components of a release twice, in different directories and with different homes of cargo, and compares the bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
# The homes get copies of cargo's downloads, and need no network.
cargo fetch --locked --target wasm32-wasip2
registry=${CARGO_HOME:-$HOME/.cargo}/registry
unset CARGO_TARGET_DIR

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for place in first the-second-place/of-another-length; do
  mkdir -p "$work/$place/source" "$work/$place/home/registry"
  tools/copy-tree.sh "$work/$place/source"
  cp -r "$registry/index" "$registry/cache" "$work/$place/home/registry"
  CARGO_HOME=$work/$place/home CARGO_NET_OFFLINE=true make --no-print-directory --directory "$work/$place/source" component gateway
done
cd "$work"
for component in items_component metrics_gateway; do
  cmp {first,the-second-place/of-another-length}/source/target/wasm32-wasip2/component/$component.wasm
  echo "reproducible: both builds of $component have the SHA-256 $(sha256sum <first/source/target/wasm32-wasip2/component/$component.wasm | cut -d ' ' -f 1)"
done
