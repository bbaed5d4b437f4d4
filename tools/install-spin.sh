#!/usr/bin/env bash
# Prints the path of Spin, of the version and checksum in Dockerfile.spin.
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
lines=$(sed -n "/ AS archive-$stage/,/^ENV/p" Dockerfile.spin)
[ -n "$lines" ] || tools/skip.sh "Spin is not released for $stage"
tools/download.sh "$(sed -n 's/^ADD \(.*\) .*/\1/p' <<<"$lines")" "$(sed -n 's/^ENV SHA256=//p' <<<"$lines")" spin
