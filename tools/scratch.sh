#!/usr/bin/env bash
# Sourced: a folder $work for state and logs, and the processes $pids. Both are gone at the end; after a failure, the logs' ends are shown.

work=$(mktemp -d)
pids=()
cleanup() {
  [ $? = 0 ] || tail -n 20 "$work"/*.log >&2 2>/dev/null || true
  kill "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT
