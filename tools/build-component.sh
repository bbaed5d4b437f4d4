#!/usr/bin/env bash
# build-component.sh PACKAGE [FLAG...]: builds a component, by the same sources into the same bytes. Panic messages name the files of crates by
# their paths: here in the same words wherever cargo keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."

# Encoded, so that a path may hold spaces; and stronger than a RUSTFLAGS that somebody has set.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
exec cargo build --locked --profile component --target wasm32-wasip2 --package "$@"
