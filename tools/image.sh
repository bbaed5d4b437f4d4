#!/usr/bin/env bash
# image.sh [spin]: builds metrics-host:local, and metrics-host-spin:local on top of it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

docker info >/dev/null 2>&1 || skip "no Docker daemon answers"
version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD)
git diff --quiet HEAD || revision+=-dirty
created=$(git log -1 --format=%cI)

docker build --tag metrics-host:local \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created" .
if [ "${1:-}" = spin ]; then
  docker build --tag metrics-host-spin:local --file Dockerfile.spin .
fi
