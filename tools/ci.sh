#!/usr/bin/env bash
# Runs the steps of ci.yml, in its order, until one fails; then says what passed, and what only the pipeline can do.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

ci=.github/workflows/ci.yml
STEP_RESULTS=$(mktemp)
export STEP_RESULTS
trap 'rm -f "$STEP_RESULTS"' EXIT

code=0
mapfile -t targets < <(sed -n 's/^ *run: tools\/step.sh //p' "$ci" | tr ' ' '\n')
for target in "${targets[@]}"; do
  printf '\n== make %s\n' "$target"
  tools/step.sh "$target" </dev/null || { code=1; break; }
done

printf '\n%-20s %8s  %s\n' step seconds result
while IFS=$'\t' read -r target result seconds; do
  printf '%-20s %8s  %s\n' "$target" "$seconds" "$result"
done <"$STEP_RESULTS"
for target in "${targets[@]:$(wc -l <"$STEP_RESULTS")}"; do
  printf '%-20s %8s  %s\n' "$target" - "not reached"
done

printf '\nOnly on GitHub, which alone has the registry, the identities or the data for it:\n'
# The steps that call no target, but for those that fetch, log in or hand over.
for workflow in "$ci" .github/workflows/release.yml .github/workflows/scorecard.yml .github/workflows/codeql.yml; do
  awk -v file="${workflow##*/}" '
    function show() { if (step != "" && step !~ /^(Check out|Cache|Keep|Take|Log in|Set up)/) printf "  %-12s %s\n", file, step }
    /^ *- name: / { show(); step = $0; sub(/^ *- name: /, "", step) }
    /^ *run: tools\/step.sh / { step = "" }
    END { show() }' "$workflow"
done
exit "$code"
