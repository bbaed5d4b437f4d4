#!/usr/bin/env bash
# Builds the image of a release, once, as an OCI archive with its provenance and list of parts: target/release-image. Takes the component
# out of that image, as a file: target/release-files. The `add` of its metrics-host names the gateway METRICS_HOST_GATEWAY_URL,
# METRICS_HOST_GATEWAY_DIGEST. Needs buildx with a builder that can write archives.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

version=$(tools/version.sh)
git diff --quiet HEAD || { echo "release: the tree has changes that are in no commit" >&2; exit 1; }
# Times of the commit, not of the build.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
image=target/release-image/image.tar out=$PWD/target/release-files
rm -rf "$out"
mkdir -p "$out" target/release-image
docker buildx build \
  --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" \
  --build-arg METRICS_HOST_GATEWAY_URL --build-arg METRICS_HOST_GATEWAY_DIGEST --build-arg PGO=on \
  --provenance mode=max --sbom true --output "type=oci,dest=$image,rewrite-timestamp=true" .
tools/release/load.sh "$image" metrics-host:release

container=$(docker create metrics-host:release)
trap 'docker rm "$container" >/dev/null' EXIT
docker cp "$container:/app/target/wasm32-wasip2/component/items_component.wasm" "$out/items_component-$version.wasm"
