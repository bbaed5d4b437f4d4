#!/usr/bin/env bash
# pack.sh BINARIES FOLDER URL: makes the Spin plugin from the files BINARIES/metrics-host-OS-ARCH, the Helm chart, and SHA256SUMS of all that
# FOLDER then has: the files of a release, which URL will serve.
set -euo pipefail
binaries=$(realpath "$1") out=$(realpath "$2") url=$3
cd "$(dirname "$0")/../.."
fail() { echo "pack: $*" >&2; exit 1; }

platforms=()
for platform in linux:{amd64,aarch64} macos:{amd64,aarch64}; do
  binary=$binaries/metrics-host-${platform/:/-}
  [ -f "$binary" ] || fail "expected $binary"
  if [[ $platform = linux:* ]]; then
    # A static binary starts on every Linux, whatever its C library.
    headers=$(readelf --program-headers --dynamic --wide "$binary")
    ! grep -E ' INTERP |\(NEEDED\)' <<<"$headers" >&2 || fail "$binary loads libraries, expected a static binary"
  fi
  platforms+=("$binary:$platform")
done
tools/release/plugin.sh "$out" "$url" "${platforms[@]}"
tools/deploy.sh helm package deploy/helm/metrics-host --destination "$out" >/dev/null
cd "$out"
sha256sum -- *.tar.gz *.tgz *.wasm *.json >SHA256SUMS
