#!/usr/bin/env bash
# evidence-current.sh [TAG]: says whether evidence/report is of the product as it is committed. With a TAG it fails unless it is: a release
# needs evidence of its own, while other commits can wait for it.
set -euo pipefail
cd "$(dirname "$0")/.."

field() { sed -nE "s/^  \"$1\": \"?([^\",]+)\"?,$/\1/p" evidence/report/environment.json; }
of="evidence/report is of commit $(field commit | cut -c -12)"
if [ "$(field product)" = "$(tools/product.sh)" ] && [ "$(field clean)" = true ]; then
  echo "$of, and the product is the same now"
  exit
fi
of="$of, and the product has changed since: run make evidence"
[ -z "${GITHUB_ACTIONS:-}" ] || echo "::warning file=evidence/report/README.md::$of"
echo "$of" >&2
[ -z "${1:-}" ] || exit 1
