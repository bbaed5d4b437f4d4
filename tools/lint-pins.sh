#!/usr/bin/env bash
# Checks that what pipelines and images take from elsewhere is pinned: an action by its commit, with its version as a comment, an
# image by tag and digest; and that each has one version everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=
# complain WHERE WHAT
complain() {
  echo "lint-pins: $1: $2" >&2
  failed=yes
}
# Reads lines of `NAME PIN`, and complains of each NAME that has more than one.
one_each() {
  local name
  while read -r name; do
    complain "$name" "has more than one pin"
  done < <(sort -u | cut -d ' ' -f 1 | uniq -d)
}

action='^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)(/[A-Za-z0-9_./-]+)?@([0-9a-f]{40}) # (v[0-9]+\.[0-9]+\.[0-9]+)$'
actions=
while IFS=: read -r file line text; do
  uses=${text#*uses:}
  uses=${uses# }
  if [[ $uses =~ $action ]]; then
    actions+="${BASH_REMATCH[1]} ${BASH_REMATCH[3]},${BASH_REMATCH[4]}"$'\n'
  else
    complain "$file:$line" "expected owner/action@<40 hexadecimal digits> # vX.Y.Z, got $uses"
  fi
done < <(grep -nE '^ *(- +)?uses:' .github/workflows/*.yml)
one_each <<<"$actions"

# Images are named in keys `image:` and as defaults of the arguments that Dockerfiles begin with. What has a variable for its name
# is built here, or was given by the person who builds.
image='^([a-z0-9./-]+):([A-Za-z0-9_.-]+)@(sha256:[0-9a-f]{64})$'
images=
while IFS=: read -r file line text; do
  reference=$(sed -E 's/^ *image: *//; s/^ARG [A-Z_]+=//; s/^FROM +(--[^ ]+ +)?([^ ]+).*/\2/' <<<"$text")
  case $reference in
    \$* | metrics-host:* | archive-* | scratch) continue ;;
  esac
  if [[ $reference =~ $image ]]; then
    images+="${BASH_REMATCH[1]}:${BASH_REMATCH[2]} ${BASH_REMATCH[3]}"$'\n'
  else
    complain "$file:$line" "expected image:tag@sha256:<64 hexadecimal digits>, got $reference"
  fi
done < <(grep -nE '^ *image: +[^ ]|^ARG [A-Z_]*IMAGE=|^FROM ' compose.yaml tools/linters/compose.yaml Dockerfile* .github/workflows/*.yml)
one_each <<<"$images"

[ -z "$failed" ]
