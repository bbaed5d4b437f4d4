#!/usr/bin/env bash
# build-component.sh PACKAGE [FLAG...]: builds a component, or with --target wasm32-wasip1 a module, by the same sources into the same
# bytes. Panic messages name the files of crates by their paths: here in the same words wherever cargo keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."

# Encoded, so that a path may hold spaces; and stronger than a RUSTFLAGS that somebody has set.
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
target=wasm32-wasip2
if [ "${2-}" = --target ]; then
	target=$3
	set -- "$1" "${@:4}"
	rustup --quiet target add "$target"
fi
exec cargo build --locked --profile component --target "$target" --package "$@"
