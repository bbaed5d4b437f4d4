#!/usr/bin/env bash
# image.sh [spin]: builds metrics-host:local, and metrics-host-spin:local on top of it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
require_daemon

dirty=
git diff --quiet HEAD || dirty=-dirty
docker build --tag metrics-host:local --build-arg VERSION="$(tools/version.sh)" --build-arg REVISION="$(git rev-parse HEAD)$dirty" \
  --build-arg CREATED="$(git log -1 --format=%cI)" .
[ "${1:-}" != spin ] || docker build --tag metrics-host-spin:local --file Dockerfile.spin .
