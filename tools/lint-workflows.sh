#!/usr/bin/env bash
# Lints what GitHub reads, and the pins of actions and images. Offline; with GH_TOKEN zizmor also asks GitHub about the actions.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh jq

offline=(--offline)
[ -z "${GH_TOKEN:-}" ] || offline=()
tools/linter.sh zizmor --quiet --no-progress --persona auditor "${offline[@]}" .github
tools/linter.sh actionlint .github/workflows/*.yml
tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

# none WHAT: fails if there is any input, and shows it.
none() {
  local lines
  lines=$(cat)
  [ -z "$lines" ] || {
    printf 'lint-workflows: %s\n%s\n' "$1" "$lines" >&2
    exit 1
  }
}
# pinned FORM EXAMPLE: each line of the input ends in FORM, a name and its pin after an @, and no name has two pins.
pinned() {
  local lines
  lines=$(cat)
  sed -E "\\,$1\$,d" <<<"$lines" | none "expected $2:"
  grep -oE "$1\$" <<<"$lines" | sed -E 's|^([^/]+/[^/@]+)/[^@:]+@|\1@|' | sort -u | cut -d @ -f 1 | uniq -d | none "more than one pin:"
}
grep -nE '^ *(- +)?uses:' .github/workflows/*.yml |
  pinned '[A-Za-z0-9_./-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+' 'owner/action@<40 hexadecimal digits> # vX.Y.Z'
# A name that begins with a variable was given by the person who builds; the others without a pin are built here.
grep -nE '^ *image: +[^ ]|^ARG [A-Z_]*IMAGE=|^FROM ' compose.yaml tools/linters/compose.yaml Dockerfile* .github/workflows/*.yml |
  grep -vE '(image: +|IMAGE=|FROM +)(\$|metrics-host:|archive-|scratch)' |
  pinned '[a-z0-9./-]+:[A-Za-z0-9_.-]+@sha256:[0-9a-f]{64}' 'image:tag@sha256:<64 hexadecimal digits>'

# A job that `required` does not wait for would fail unseen.
jobs=$(sed -n '/^jobs:/,$ s/^  \([a-z0-9-]*\):$/\1/p' .github/workflows/ci.yml | grep -vx required | paste -sd ,)
needed=$(sed -n '/^  required:/,$ s/^ *needs: \[\(.*\)\]$/\1/p' .github/workflows/ci.yml | tr -d ' ')
[ "$jobs" = "$needed" ] || none "ci.yml: the job required must need all jobs in their order, $jobs, and needs:" <<<"$needed"
jq '{file: input_filename} + . | select(.name and .enforcement == "active" and (.target | IN("branch", "tag")) and (.rules | length > 0) | not) | .file' \
  .github/rulesets/*.json | none "expected an active ruleset for a branch or a tag, with rules:"
