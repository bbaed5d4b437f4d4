#!/usr/bin/env bash
# Prints the path of Spin, of the version and checksum in Dockerfile.spin.
set -euo pipefail
cd "$(dirname "$0")/.."

case $(uname -m) in
  x86_64) stage=amd64 ;;
  aarch64) stage=arm64 ;;
  *) tools/skip.sh "Spin is not released for $(uname -m)" ;;
esac
# The lines of that architecture's stage.
lines=$(sed -n "/ AS archive-$stage/,/^ENV/p" Dockerfile.spin)
url=$(sed -n 's/^ADD \(.*\) .*/\1/p' <<<"$lines")
digest=$(sed -n 's/^ENV SHA256=//p' <<<"$lines")
tools/download.sh "$url" "$digest" spin
