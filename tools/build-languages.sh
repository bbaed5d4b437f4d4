#!/usr/bin/env bash
# build-languages.sh: builds the applications in metrics-host/tests/languages into target/languages, with the packages that their locks
# name. One that is newer than its sources stays.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=metrics-host/tests/languages out=$PWD/target/languages
mkdir -p "$out"

# stale LANGUAGE: whether its component has to be built; then makes $work, a copy of its sources.
stale() {
  [ ! -e "$out/$1.wasm" ] || [ -n "$(find "$sources/$1" -newer "$out/$1.wasm")" ] || return 1
  work=$out/$1
  mkdir -p "$work"
  cp -r "$sources/$1/." "$work"
}

if stale javascript; then
  packages=$(tools/packages.sh "$sources/javascript/package-lock.json")
  ln -sfn "$packages/node_modules" "$work/node_modules"
  (cd "$work" && node build.mjs && node_modules/.bin/j2w --input build/bundle.js --output "$out/javascript.wasm")
fi
if stale python; then
  packages=$(tools/packages.sh "$sources/python/requirements.txt")
  library=$("$packages/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  (cd "$work" && "$packages/bin/componentize-py" --world spin:up/http-trigger@4.1.0 componentize --python-path . --python-path "$library" \
    app --output "$out/python.wasm")
fi
if stale rust; then
  rustup --quiet target add wasm32-wasip1
  cargo build --locked --release --target wasm32-wasip1 --manifest-path "$work/Cargo.toml" --target-dir "$out/target"
  cp "$out/target/wasm32-wasip1/release/rust.wasm" "$out"
fi
