#!/usr/bin/env bash
# gateway.sh COMPONENT FOLDER URL: puts the gateway component into FOLDER, under its name in a release. Prints two settings for builds of
# metrics-host: where the component will be found, below URL, and its digest. `metrics-host add` writes both into a manifest.
set -euo pipefail
mkdir -p "$2"
component=$(realpath "$1") out=$(realpath "$2") url=$3
cd "$(dirname "$0")/../.."
name=metrics_gateway-$(tools/version.sh).wasm
install -m 644 "$component" "$out/$name"
echo "METRICS_HOST_GATEWAY_URL=$url/$name"
echo "METRICS_HOST_GATEWAY_DIGEST=sha256:$(sha256sum <"$out/$name" | cut -d ' ' -f 1)"
