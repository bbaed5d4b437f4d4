#!/usr/bin/env bash
# Looks for secrets by their patterns: in the files that git tracks or would, and in the whole history.
set -euo pipefail
cd "$(dirname "$0")/.."

# scan PATH...: asks no network whether a secret is valid, and shows none.
scan() {
  tools/linter.sh kingfisher scan --quiet --no-update-check --no-validate --redact --rule-cache-dir target/tools/kingfisher "$@" || {
    echo "lint-secrets: remove the secret and revoke it; if this is a false alarm, end the line with the comment kingfisher:ignore" >&2
    exit 1
  }
}
mapfile -t files < <(git ls-files --cached --others --exclude-standard --deduplicate)
for file in "${!files[@]}"; do [ -e "${files[file]}" ] || unset "files[file]"; done
scan --git-history none "${files[@]}"
scan .git
