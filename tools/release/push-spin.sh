#!/usr/bin/env bash
# push-spin.sh COMPONENT REPOSITORY TAG: pushes spin.toml with a component that was built already, as a Spin application, and prints its
# digest. Pushed again, it has the same digest: the time in it is the commit's.
set -euo pipefail
cd "$(dirname "$0")/../.."
spin=$(tools/install-spin.sh)
install -D -m 0644 "$1" target/wasm32-wasip2/component/items_component.wasm
said=$("$spin" registry push "$2:$3" --annotation "org.opencontainers.image.created=$(git log -1 --format=%cI)" 2>&1) || true
digest=$(sed -n 's/.*Pushed with digest \(sha256:[0-9a-f]\{64\}\).*/\1/p' <<<"$said")
[ -n "$digest" ] || { printf 'push-spin: expected "Pushed with digest sha256:…", got:\n%s\n' "$said" >&2; exit 1; }
echo "$digest"
