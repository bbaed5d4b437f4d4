#!/usr/bin/env bash
# Looks for secrets by their patterns: in what git tracks or would, and in its whole history. The pipeline asks gitleaks too.
set -euo pipefail
cd "$(dirname "$0")/.."

# scan PATH...: asks no network whether what it finds is valid, and shows no secret.
scan() {
  tools/linter.sh kingfisher scan --quiet --no-update-check --no-validate --redact \
    --rule-cache-dir target/tools/kingfisher "$@" || {
    echo "lint-secrets: take it out and revoke it; if it is none, end its line with the comment kingfisher:ignore" >&2
    exit 1
  }
}
mapfile -d '' -t files < <(
  git ls-files -z --cached --others --exclude-standard --deduplicate | while read -rd '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
  done
)
scan --git-history none "${files[@]}"
scan .git
