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
    # Ubuntu 22.04, where Spin's own binaries are built, has it: the plugin starts where Spin does.
    newest=$(readelf --version-info --wide "$binary" | grep -o 'GLIBC_[0-9.]*' | sort --unique --version-sort | tail -n 1)
    printf '%s\n' "$newest" GLIBC_2.35 | sort --check=quiet --version-sort || fail "$binary needs $newest, expected GLIBC_2.35 at most"
  fi
  platforms+=("$binary:$platform")
done
tools/release/plugin.sh "$out" "$url" "${platforms[@]}"
tools/deploy.sh helm package deploy/helm/metrics-host --destination "$out" >/dev/null
cd "$out"
sha256sum -- *.tar.gz *.tgz *.wasm *.json >SHA256SUMS
