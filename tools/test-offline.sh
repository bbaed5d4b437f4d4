#!/usr/bin/env bash
# Runs the commands of docs/building-offline.md in a copy of the tree: the first block with the network, the second without it and with
# an empty cargo home. `make build` takes minutes, so only OFFLINE=full runs it.
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
      env PATH="$PATH" HOME="$HOME" CARGO_HOME="$CARGO_HOME" RUSTUP_HOME="$RUSTUP_HOME" "$@"
  }
else
  tools/skip.sh "this machine allows no network namespace"
fi

# block N: prints the Nth block of commands of the page.
block() {
  awk -v wanted="$1" '
    /^```$/ { on = 0 }
    on { print }
    /^```sh$/ { on = (++number == wanted) }' docs/building-offline.md
}
fail() {
  echo "test-offline: $*" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/copy-tree.sh "$work"
cd "$work"
# What the calling make or cargo has set would otherwise decide where it goes.
unset CARGO_TARGET_DIR MAKEFLAGS MAKELEVEL
with=$(block 1) without=$(block 2)
grep -qx 'make build' <<<"$without" || fail "expected two blocks of commands in docs/building-offline.md, the second with \`make build\`"
[ "${OFFLINE:-}" = full ] || without=$(grep -vx 'make build' <<<"$without")

bash -euxc "$with"
RUSTUP_HOME=${RUSTUP_HOME:-$(rustup show home)}
export RUSTUP_HOME CARGO_HOME=$work/home
# Every dependency of the whole workspace is there, of the right checksum.
no_network cargo metadata --format-version 1 --frozen >metadata.json
no_network bash -euxc "$without"
[ -s target/wasm32-wasip2/component/items_component.wasm ] || fail "no component was built"
[ "${OFFLINE:-}" != full ] || [ -x target/release/metrics-host ] || fail "no metrics-host was built"
echo "test-offline: passed, $(find vendor -mindepth 1 -maxdepth 1 | wc -l) vendored crates"
