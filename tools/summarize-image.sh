#!/usr/bin/env bash
# summarize-image.sh TRIVY [SBOM]: prints for a job's summary what was found in an image, and how many parts of which kind it has.
set -euo pipefail
[ ! -s "$1" ] || printf '%s\n' '```text' "$(cat "$1")" '```'
[ ! -s "${2:-}" ] || jq --raw-output '
  [.components[] | (.purl // "pkg:file/" | split("/")[0] | ltrimstr("pkg:"))] | group_by(.)[] | "- \(length) parts of kind \(.[0])"' "$2"
