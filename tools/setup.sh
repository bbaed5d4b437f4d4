#!/usr/bin/env bash
# Installs the toolchain that rust-toolchain.toml pins, with its wasm target, where one of them is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v rustup >/dev/null; then
  echo "setup: rustup is needed: install it as rustup.rs describes" >&2
  exit 1
fi
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
  rustup toolchain install "$channel" --profile minimal --no-self-update
fi
installed=$(rustup target list --installed --toolchain "$channel")
if ! grep -qx wasm32-wasip2 <<<"$installed"; then
  rustup target add wasm32-wasip2 --toolchain "$channel"
fi
for component in clippy rustfmt; do
  if ! rustup component list --installed --toolchain "$channel" | grep -q "^$component"; then
    rustup component add "$component" --toolchain "$channel"
  fi
done
tools/need.sh cc gcc libc6-dev
tools/need.sh git git
