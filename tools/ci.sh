#!/usr/bin/env bash
# ci.sh [TARGET...]: makes these targets, by default all that ci.yml makes, until one fails. Then prints a table of their steps, and by
# default what only GitHub can do. JOBS=N makes N targets side by side, ALSO="TARGET..." others after them, one by one. STEP_RECORDS=FILE
# keeps the records that the table is made from.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tools/need.sh jq || exit

targets=("$@")
[ $# != 0 ] || mapfile -t targets < <(sed -n 's/^ *run: make //p' .github/workflows/ci.yml | tr ' ' '\n')
read -ra also <<<"${ALSO:-}"
export STEP_RECORDS=${STEP_RECORDS:-target/step-records.jsonl}
mkdir -p "$(dirname "$STEP_RECORDS")"
: >"$STEP_RECORDS"
start=$SECONDS
make --no-print-directory ${JOBS:+--jobs="$JOBS"} "${targets[@]}" </dev/null &&
  { [ ${#also[@]} = 0 ] || MAKEFLAGS='' make --no-print-directory "${also[@]}" </dev/null; }
code=$?

ended() { jq --raw-output 'select(.kind == "step").name' "$STEP_RECORDS"; }
MAKEFLAGS='' STEP_LIST=yes make --silent "${targets[@]}" "${also[@]}" | grep -vxFf <(ended) |
  jq --raw-input --compact-output '{kind: "step", name: ., seconds: null, code: null, skipped: null, log: ""}' >>"$STEP_RECORDS"
printf '\n%-22s %8s  %s\n' step seconds result
jq --raw-output 'select(.kind == "step") | [.name, .seconds // "-",
  if .code == null then "not reached" elif .code != 0 then "failed" elif .skipped then "skipped: \(.skipped)" else "passed" end] | @tsv' "$STEP_RECORDS" |
  while IFS=$'\t' read -r name seconds result; do printf '%-22s %8s  %s\n' "$name" "$seconds" "$result"; done
printf '%-22s %8s\n' 'all, side by side' $((SECONDS - start))
jq --raw-output 'select(.kind == "step" and .code != null and .code != 0) | "\nThe end of \(.name):\n\(.log)"' "$STEP_RECORDS"

if [ $# = 0 ]; then
  printf '\nOnly on GitHub, which alone has the registry, the identities or the data for it:\n'
  # The steps that make no target, but for those that fetch, log in or hand over.
  cd .github/workflows && awk -v RS='- name: ' 'FNR > 1 && !/run: make/ && !/^(Check out|Cache|Keep|Take|Log in|Set up)/ {
    sub(/\n.*/, ""); printf "  %-14s %s\n", FILENAME, $0 }' ci.yml release.yml scorecard.yml codeql.yml
fi
exit "$code"
