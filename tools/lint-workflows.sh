#!/usr/bin/env bash
# Lints what GitHub reads: pins, security, syntax and schemas. Offline; with GH_TOKEN zizmor also asks GitHub about the actions.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh jq jq

tools/lint-pins.sh
offline=(--offline)
[ -z "${GH_TOKEN:-}" ] || offline=()
tools/linter.sh zizmor --quiet --no-progress --persona auditor "${offline[@]}" .github
tools/linter.sh actionlint .github/workflows/*.yml
tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
# A job that `required` does not wait for would fail unseen.
ci=.github/workflows/ci.yml
jobs=$(sed -n '/^jobs:/,$ s/^  \([a-z0-9-]*\):$/\1/p' "$ci" | grep -vx required | paste -sd ' ')
needed=$(sed -n '/^  required:/,$ s/^ *needs: \[\(.*\)\]$/\1/p' "$ci" | tr -d ',')
if [ "$jobs" != "$needed" ]; then
  echo "lint-workflows: $ci: the job required needs \"$needed\"; expected all jobs, in their order: \"$jobs\"" >&2
  exit 1
fi
# Each ruleset is what GitHub's API takes: it says at least what it is for and what it holds.
for ruleset in .github/rulesets/*.json; do
  jq --exit-status '.name and .enforcement == "active" and (.target | IN("branch", "tag")) and (.rules | length > 0)' "$ruleset" >/dev/null || {
    echo "lint-workflows: $ruleset: expected an active ruleset for a branch or a tag, with rules" >&2
    exit 1
  }
done
