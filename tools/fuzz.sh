#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS, from its committed corpus; a crash fails and leaves its input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.13.2 seconds=${FUZZ_SECONDS:-60}
export RUSTUP_TOOLCHAIN=nightly-2026-05-20
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: FUZZ_SECONDS is \"$seconds\"; expected a whole number from 1" >&2; exit 2; }

tools/need.sh c++:g++
rustc --version >/dev/null 2>&1 || rustup toolchain install "$RUSTUP_TOOLCHAIN" --profile minimal --no-self-update
export PATH="$PWD/target/tools/bin:$PATH"
[ "$(cargo-fuzz --version 2>/dev/null)" = "cargo-fuzz $version" ] || cargo install cargo-fuzz --version "$version" --locked --root target/tools
# cargo fuzz does not know --locked.
cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null

cargo fuzz build --target-dir target/fuzz
for target in $(cargo fuzz list); do
  # New inputs go into the first folder: a run changes no committed file.
  found=target/fuzz/corpus/$target
  mkdir -p "$found"
  echo "fuzz: $target for $seconds s"
  cargo fuzz run --target-dir target/fuzz "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -verbosity=0 -print_final_stats=1
done
