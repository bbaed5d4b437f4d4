#!/usr/bin/env bash
# Builds from vendored crates where there is no network and cargo's home is empty: the component, and every dependency of the whole
# workspace is there and of the right checksum. OFFLINE=full builds metrics-host as well, which takes long.
set -euo pipefail
cd "$(dirname "$0")/.."

# no_network COMMAND...: runs it where even loopback is down, as the same user.
if unshare --net true 2>/dev/null; then
  no_network() { unshare --net "$@"; }
elif unshare --map-current-user --net true 2>/dev/null; then
  no_network() { unshare --map-current-user --net "$@"; }
elif sudo -n unshare --net true 2>/dev/null; then
  no_network() {
    sudo -n unshare --net setpriv --reuid "$(id -u)" --regid "$(id -g)" --clear-groups \
      env PATH="$PATH" HOME="$HOME" CARGO_HOME="$CARGO_HOME" RUSTUP_HOME="$RUSTUP_HOME" CARGO_TARGET_DIR="$CARGO_TARGET_DIR" "$@"
  }
else
  tools/skip.sh "this machine allows no network namespace"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/copy-tree.sh "$work"
cd "$work"
# The command in the README.
mkdir .cargo
cargo vendor --locked vendor 2>vendor.log >.cargo/config.toml || { cat vendor.log >&2; exit 1; }

RUSTUP_HOME=${RUSTUP_HOME:-$(rustup show home)}
export RUSTUP_HOME CARGO_HOME=$work/home CARGO_TARGET_DIR=$work/target
no_network cargo metadata --format-version 1 --frozen >metadata.json
no_network cargo build --frozen --profile component --target wasm32-wasip2 --package items-component
[ -s target/wasm32-wasip2/component/items_component.wasm ] || { echo "test-offline: no component was built" >&2; exit 1; }
if [ "${OFFLINE:-}" = full ]; then
  no_network cargo build --frozen --release --package metrics-host
fi
echo "test-offline: passed, $(find vendor -mindepth 1 -maxdepth 1 | wc -l) vendored crates"
