#!/usr/bin/env bash
# plugin.sh FOLDER URL BINARY:OS:ARCH...: makes the Spin plugin `metrics` in FOLDER, from binaries of metrics-host: an archive for each,
# on Linux with the systemd unit, and metrics.json, the manifest that names them below URL. OS is linux or macos, ARCH amd64 or aarch64, as
# Spin calls them.
set -euo pipefail
out=$(realpath "$1") url=$2
shift 2
cd "$(dirname "$0")/../.."
version=$(tools/version.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -m 644 deploy/systemd/metrics-host.service "$work"

packages=()
for platform; do
  IFS=: read -r binary os arch <<<"$platform"
  archive=metrics-$version-$os-$arch.tar.gz
  # Spin runs the file that has the name of the plugin.
  install -m 755 "$binary" "$work/metrics"
  install -m 644 LICENSE "$work/metrics.license"
  files=(metrics metrics.license)
  [ "$os" != linux ] || files+=(metrics-host.service)
  tar --create --gzip --file "$out/$archive" --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" "${files[@]}"
  sha256=$(sha256sum "$out/$archive" | cut -d ' ' -f 1)
  packages+=("$(jq --null-input --arg os "$os" --arg arch "$arch" --arg url "$url/$archive" --arg sha256 "$sha256" '$ARGS.named')")
done
jq --null-input --arg version "$version" '{
  name: "metrics",
  description: "Exact Prometheus metrics: `spin metrics up` counts every request of `spin up`",
  version: $version,
  spinCompatibility: ">=2.0",
  license: "Apache-2.0",
  packages: $ARGS.positional
}' --jsonargs "${packages[@]}" >"$out/metrics.json"
