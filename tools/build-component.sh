#!/usr/bin/env bash
# build-component.sh PACKAGE [TARGET]: builds a component, or for wasm32-wasip1 a module, by the same sources into the same
# bytes. Panic messages name the files of crates by their paths: here in the same words wherever cargo keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."

# Encoded, so that a path may hold spaces; and stronger than a RUSTFLAGS that somebody has set.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
target=${2:-wasm32-wasip2}
[ "$target" = wasm32-wasip2 ] || rustup --quiet target add "$target"
exec cargo build --locked --profile component --target "$target" --package "$1"
