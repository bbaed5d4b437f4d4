#!/usr/bin/env bash
# Runs the commands of docs/building-offline.md in a copy of the tree: the first block with the network, the second without it and with
# an empty cargo home. `make build` takes minutes, so only OFFLINE=full runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "test-offline: $*" >&2; exit 1; }

# Not even a loopback is up in there.
no_network=(unshare --map-current-user --net)
"${no_network[@]}" true 2>/dev/null || tools/skip.sh "this machine allows no network namespace"

# block N: prints the Nth block of commands of the page.
block() { awk -v wanted="$1" '/^```$/ { on = 0 } on { print } /^```sh$/ { on = (++number == wanted) }' docs/building-offline.md; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/copy-tree.sh "$work"
cd "$work"
unset CARGO_TARGET_DIR
with=$(block 1) without=$(block 2)
grep -qx 'make build' <<<"$without" || fail "expected two blocks of commands in docs/building-offline.md, the second with \`make build\`"
[ "${OFFLINE:-}" = full ] || without=$(grep -vx 'make build' <<<"$without")

bash -euxc "$with"
RUSTUP_HOME=${RUSTUP_HOME:-$(rustup show home)}
export RUSTUP_HOME CARGO_HOME=$work/home
# The vendored crates are those of the whole workspace, with the right checksums.
"${no_network[@]}" cargo metadata --format-version 1 --frozen >metadata.json
"${no_network[@]}" bash -euxc "$without"
[ -s target/wasm32-wasip2/component/items_component.wasm ] || fail "no component was built"
[ "${OFFLINE:-}" != full ] || [ -x target/release/metrics-host ] || fail "no metrics-host was built"
echo "test-offline: passed, $(find vendor -mindepth 1 -maxdepth 1 | wc -l) vendored crates"
