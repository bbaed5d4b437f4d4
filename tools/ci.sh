#!/usr/bin/env bash
# ci.sh [TARGET...]: makes these targets, by default all that ci.yml makes, until one fails. Then prints a table of their steps, and by
# default what only GitHub can do. STEP_RECORDS=FILE keeps the records that the table is made from.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tools/need.sh jq || exit

workflows=(.github/workflows/{ci,release,scorecard,codeql}.yml)
targets=("$@")
[ $# != 0 ] || mapfile -t targets < <(sed -n 's/^ *run: make //p' "${workflows[0]}" | tr ' ' '\n')
export STEP_RECORDS=${STEP_RECORDS:-target/step-records.jsonl}
mkdir -p "$(dirname "$STEP_RECORDS")"
: >"$STEP_RECORDS"
start=$SECONDS
make --no-print-directory "${targets[@]}" </dev/null
code=$?

ended() { jq --raw-output 'select(.kind == "step").name' "$STEP_RECORDS"; }
MAKEFLAGS='' STEP_LIST=yes make --silent "${targets[@]}" | grep -vxFf <(ended) |
  jq --raw-input --compact-output '{kind: "step", name: ., seconds: null, code: null, skipped: null, log: ""}' >>"$STEP_RECORDS"
printf '\n%-22s %8s  %s\n' step seconds result
jq --raw-output 'select(.kind == "step") | [.name, .seconds // "-",
  if .code == null then "not reached" elif .code != 0 then "failed" elif .skipped then "skipped: \(.skipped)" else "passed" end] | @tsv' "$STEP_RECORDS" |
  while IFS=$'\t' read -r name seconds result; do printf '%-22s %8s  %s\n' "$name" "$seconds" "$result"; done
printf '%-22s %8s\n' 'all, side by side' $((SECONDS - start))

if [ $# = 0 ]; then
  printf '\nOnly on GitHub, which alone has the registry, the identities or the data for it:\n'
  # The steps that make no target, but for those that fetch, log in or hand over.
  awk '
    function show() { if (step != "" && step !~ /^(Check out|Cache|Keep|Take|Log in|Set up)/) printf "  %-14s %s\n", file, step; step = "" }
    FNR == 1 { show(); file = FILENAME; sub(/.*\//, "", file) }
    /^ *- name: / { show(); step = $0; sub(/^ *- name: /, "", step) }
    /^ *run: make / { step = "" }
    END { show() }' "${workflows[@]}"
fi
exit "$code"
