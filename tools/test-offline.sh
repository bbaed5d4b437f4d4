#!/usr/bin/env bash
# Runs the documented commands for a build from vendored crates, in a copy of the tree: first those for a machine with the registries,
# then, with no network and an empty home of cargo, those for one without. Only OFFLINE=full runs `make build`, which takes long.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "test-offline: $*" >&2; exit 1; }

# Not even a loopback is up in there.
no_network=(unshare --map-current-user --net)
"${no_network[@]}" true 2>/dev/null || tools/skip.sh "this machine allows no network namespace"

# block N: prints the Nth block of commands in the section about it.
block() {
  awk -v wanted="$1" '
    /^#+ / { here = ($0 ~ /^#+ Building without the registries$/) }
    here && /^```$/ { on = 0 }
    on { print }
    here && /^```sh$/ { on = (++number == wanted) }' README.md docs/*.md 2>/dev/null
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/copy-tree.sh "$work"
cd "$work"
unset CARGO_TARGET_DIR
with=$(block 1) without=$(block 2)
grep -qx 'make build' <<<"$without" || fail "expected a section \"Building without the registries\" with two blocks of commands, the second with \`make build\`"
[ "${OFFLINE:-}" = full ] || without=$(grep -vx 'make build' <<<"$without")

bash -euxc "$with"
RUSTUP_HOME=${RUSTUP_HOME:-$(rustup show home)}
export RUSTUP_HOME CARGO_HOME=$work/home
# Every dependency of the whole workspace is there, of the right checksum.
"${no_network[@]}" cargo metadata --format-version 1 --frozen >metadata.json
"${no_network[@]}" bash -euxc "$without"
[ -s target/wasm32-wasip2/component/items_component.wasm ] || fail "no component was built"
[ "${OFFLINE:-}" != full ] || [ -x target/release/metrics-host ] || fail "no metrics-host was built"
echo "test-offline: passed, $(find vendor -mindepth 1 -maxdepth 1 | wc -l) vendored crates"
