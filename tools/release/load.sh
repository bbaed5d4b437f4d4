#!/usr/bin/env bash
# load.sh ARCHIVE NAME: gives the image of an OCI archive to the Docker daemon, without what was attested of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
tools/need.sh skopeo skopeo

saved=$(mktemp --directory)
trap 'rm -rf "$saved"' EXIT
skopeo copy --quiet --override-os linux --override-arch amd64 "oci-archive:$1" "docker-archive:$saved/image.tar:$2"
docker load --quiet --input "$saved/image.tar"
