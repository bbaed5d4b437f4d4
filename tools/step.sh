#!/usr/bin/env bash
# step.sh TARGET...: runs targets of the Makefile as steps of the pipeline, until one fails. Each becomes a line of the job's
# summary, with the end of its output if it fails, and of the file STEP_RESULTS, if set: target, result, seconds.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

log=$(mktemp)
SKIPPED=$(mktemp)
export SKIPPED
trap 'rm -f "$log" "$SKIPPED"' EXIT

# summary LINE...
summary() {
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || printf '%s\n' "$@" >>"$GITHUB_STEP_SUMMARY"
}

for target in "$@"; do
  : >"$SKIPPED"
  start=$SECONDS
  make --no-print-directory "$target" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  seconds=$((SECONDS - start))
  result=passed
  [ ! -s "$SKIPPED" ] || result="skipped: $(paste -sd ';' "$SKIPPED")"
  [ "$code" = 0 ] || result=failed
  summary "- \`make $target\`: $result, $seconds s"
  [ -z "${STEP_RESULTS:-}" ] || printf '%s\t%s\t%s\n' "$target" "$result" "$seconds" >>"$STEP_RESULTS"
  if [ "$code" != 0 ]; then
    summary '' '```text' "$(tail -n 40 "$log")" '```'
    exit "$code"
  fi
done
