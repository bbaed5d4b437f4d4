#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS, from its committed corpus; a crash fails and leaves its input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

toolchain=nightly-2026-05-20
version=0.13.2
seconds=${FUZZ_SECONDS:-60}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "fuzz: FUZZ_SECONDS is \"$seconds\"; expected a whole number from 1" >&2
  exit 2
fi

tools/need.sh c++ g++
if ! rustup run "$toolchain" rustc --version >/dev/null 2>&1; then
  rustup toolchain install "$toolchain" --profile minimal --no-self-update
fi
export PATH="$PWD/target/tools/bin:$PATH"
if [ "$(cargo-fuzz --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
  cargo "+$toolchain" install cargo-fuzz --version "$version" --locked --root target/tools
fi
# cargo fuzz does not know --locked.
cargo "+$toolchain" metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null

cargo "+$toolchain" fuzz build --target-dir target/fuzz
for target in $(cargo "+$toolchain" fuzz list); do
  # What is found goes into the first folder, so that a run changes no committed file.
  found=target/fuzz/corpus/$target
  mkdir -p "$found"
  echo "fuzz: $target for $seconds s"
  cargo "+$toolchain" fuzz run --target-dir target/fuzz "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -verbosity=0 -print_final_stats=1
done
