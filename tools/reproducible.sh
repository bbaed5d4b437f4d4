#!/usr/bin/env bash
# Builds the component twice, in different directories and with different homes of cargo, and compares what comes out.
set -euo pipefail
cd "$(dirname "$0")/.."
# Without the network: cargo's downloads are copied to each home.
cargo fetch --locked --target wasm32-wasip2
home=${CARGO_HOME:-$HOME/.cargo}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
component=target/wasm32-wasip2/component/items_component.wasm
# build NAME: builds a copy of what git tracks or would, and prints the digest.
build() {
  local directory=$work/$1
  mkdir -p "$directory/source" "$directory/home/registry"
  tools/copy-tree.sh "$directory/source"
  cp -r "$home/registry/index" "$home/registry/cache" "$directory/home/registry"
  # What the calling make or cargo has set would otherwise decide where it goes.
  (
    cd "$directory/source"
    unset CARGO_TARGET_DIR MAKEFLAGS MAKELEVEL
    CARGO_HOME=$directory/home CARGO_NET_OFFLINE=true make --no-print-directory component >&2
    sha256sum "$component" | cut -d ' ' -f 1
  )
}
first=$(build first)
second=$(build the-second-place/of-another-length)
if [ "$first" != "$second" ]; then
  echo "reproducible: two builds of the component differ: $first and $second" >&2
  cmp "$work/first/source/$component" "$work/the-second-place/of-another-length/source/$component" >&2 || true
  exit 1
fi
echo "reproducible: both builds of the component have the SHA-256 $first"
