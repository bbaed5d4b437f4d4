#!/usr/bin/env bash
# step.sh TARGET RECIPE: the shell of the Makefile: runs a recipe as a step. Exit code 77 means that this machine cannot run the step; it
# passes then, unless NO_SKIP is set, as in the pipeline. STEP_RECORDS=FILE gets a JSON record of the step, GITHUB_STEP_SUMMARY a line.
# STEP_LIST=yes only prints the target.
set -uo pipefail
target=$1 recipe=$2
if [ -n "${STEP_LIST:-}" ]; then
  echo "$target"
  exit
fi

# A recipe that calls make starts a run of its own; its steps are part of this one. Only tools/test-gates.sh adds records.
records=${STEP_RECORDS:-} summary=${GITHUB_STEP_SUMMARY:-}
export FAULT_RECORDS=$records
unset MAKEFLAGS MAKELEVEL MFLAGS STEP_RECORDS GITHUB_STEP_SUMMARY

# passes CODE: turns the exit code of a recipe into the step's.
passes() {
  [ "$1" = 77 ] && [ -z "${NO_SKIP:-}" ] || return "$1"
}
# The terminal stays the recipe's where nothing is recorded.
if [ -z "$records$summary" ]; then
  bash -euo pipefail -c "$recipe"
  passes $?
  exit
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$SECONDS
# Steps that run at the same time are told apart by their names.
bash -euo pipefail -c "$recipe" 2>&1 | tee "$log" | sed --unbuffered "s/^/${records:+$target | }/"
ended=${PIPESTATUS[0]} seconds=$((SECONDS - start))
passes "$ended"
code=$?
skipped=
[ "$ended" != 77 ] || skipped=$(sed -n 's/^skipped: //p' "$log" | tail -n 1)

if [ -n "$records" ]; then
  record=$(tail -n 40 "$log" | jq --raw-input --slurp --compact-output --arg name "$target" --arg skipped "$skipped" \
    --argjson seconds "$seconds" --argjson code "$code" \
    '{kind: "step", $name, $seconds, $code, skipped: (if $skipped == "" then null else $skipped end), log: .}')
  flock "$records" tee -a "$records" <<<"$record" >/dev/null
fi
if [ -n "$summary" ]; then
  result=passed
  [ -z "$skipped" ] || result="skipped: $skipped"
  [ "$code" = 0 ] || result=failed
  echo "- \`make $target\`: $result, $seconds s" >>"$summary"
  [ "$code" = 0 ] || printf '%s\n' '' '```text' "$(tail -n 40 "$log")" '```' >>"$summary"
fi
exit "$code"
