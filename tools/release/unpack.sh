#!/usr/bin/env bash
# unpack.sh IMAGE DIRECTORY VERSION: takes the binary and the component out of an image, as files to release with their checksums.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

image=$1 directory=$2 version=$3
name=metrics-host-$version-x86_64-linux-gnu
scratch=$(mktemp -d)
container=$(docker create "$image")
trap 'docker rm "$container" >/dev/null; rm -rf "$scratch"' EXIT

mkdir "$scratch/$name"
docker cp "$container:/metrics-host" "$scratch/$name/metrics-host"
docker cp "$container:/app/." "$scratch/$name"
cp --recursive README.md LICENSE CHANGELOG.md docs "$scratch/$name"
cp "$scratch/$name/target/wasm32-wasip2/component/items_component.wasm" "$directory/items_component-$version.wasm"
# In an order, with owners and times that do not depend on this machine.
tar --create --gzip --file "$directory/$name.tar.gz" --directory "$scratch" --sort=name --owner=0 --group=0 --numeric-owner \
  --mtime="@$(git log -1 --format=%ct)" "$name"
(cd "$directory" && sha256sum "$name.tar.gz" "items_component-$version.wasm" >SHA256SUMS)
