#!/usr/bin/env bash
# Installs the toolchain of rust-toolchain.toml, and what a build needs beside it, where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v rustup >/dev/null || { echo "setup: rustup is needed: install it as rustup.rs describes" >&2; exit 1; }
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
rustup run "$channel" rustc --version >/dev/null 2>&1 || rustup toolchain install "$channel" --profile minimal --no-self-update
rustup --quiet target add wasm32-wasip2 --toolchain "$channel"
rustup --quiet component add clippy rustfmt --toolchain "$channel"
tools/need.sh cc:gcc,libc6-dev git
