#!/usr/bin/env bash
# load.sh ARCHIVE NAME: gives the image of an OCI archive to the Docker daemon, without what was attested of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/need.sh skopeo skopeo
skopeo copy --quiet --override-os linux --override-arch amd64 "oci-archive:$1" "docker-daemon:$2"
