#!/usr/bin/env bash
# Builds what is released, once, into target/release-files: the image as an OCI archive with its provenance and list of parts, and the
# binary and the component as files, taken out of that image. Needs buildx with a builder that can write archives.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
tools/need.sh skopeo skopeo

version=$(tools/version.sh)
revision=$(git rev-parse HEAD)
git diff --quiet HEAD || { echo "release: the tree has changes that are in no commit" >&2; exit 1; }
created=$(git log -1 --format=%cI)
out=target/release-files
rm -rf "$out"
mkdir -p "$out"

# Times of the commit, not of the build: the same sources give the same image.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx build \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created" \
  --provenance mode=max --sbom true --output "type=oci,dest=$out/image.tar,rewrite-timestamp=true" .

tools/release/load.sh "$out/image.tar" metrics-host:release
tools/release/unpack.sh metrics-host:release "$out" "$version"
