#!/usr/bin/env bash
# binary.sh FOLDER: builds the metrics-host of a release for this machine, as FOLDER/metrics-host-OS-ARCH: on Linux by the Dockerfile, whose
# C library is old enough for other machines. Its `add` names the gateway METRICS_HOST_GATEWAY_URL, METRICS_HOST_GATEWAY_DIGEST.
# The bash of macOS is 3.2.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
revision=$(git rev-parse HEAD)
arch=$(uname -m | sed 's/x86_64/amd64/; s/arm64/aarch64/')
if [ "$(uname -s)" = Linux ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  docker buildx build --target binary --output "type=local,dest=$work" --build-arg REVISION="$revision" \
    --build-arg METRICS_HOST_GATEWAY_URL --build-arg METRICS_HOST_GATEWAY_DIGEST .
  install -m 755 "$work/metrics-host" "$out/metrics-host-linux-$arch"
else
  auditable=$(sed -n 's/.*\(cargo-auditable@[0-9.]*\).*/\1/p' Dockerfile)
  rustup toolchain install
  cargo install --locked --root target/auditable "$auditable"
  PATH=$PWD/target/auditable/bin:$PATH CARGO_PROFILE_DIST_STRIP=debuginfo \
    cargo auditable build --locked --profile dist --package metrics-host
  install -m 755 target/dist/metrics-host "$out/metrics-host-macos-$arch"
fi
