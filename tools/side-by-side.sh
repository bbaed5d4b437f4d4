#!/usr/bin/env bash
# side-by-side.sh SCRIPT...: runs tests at one time that mostly wait, and shows what each said when it has ended. Fails if one fails;
# one that is skipped (exit code 77) does not.
set -uo pipefail

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
pids=()
for script in "$@"; do
  "$script" >"$logs/$(basename "$script")" 2>&1 </dev/null &
  pids+=($!)
done
code=0
for script in "$@"; do
  wait "${pids[0]}"
  result=$?
  pids=("${pids[@]:1}")
  cat "$logs/$(basename "$script")"
  [ "$result" = 0 ] || [ "$result" = 77 ] || code=1
done
exit "$code"
