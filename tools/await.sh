#!/usr/bin/env bash
# Sourced, by scripts that define `fail`: how to wait for what takes its time.

# await SECONDS WHAT COMMAND...: runs the command until it succeeds.
await() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: not so after $seconds s"
    sleep 0.2
  done
}

# answers URL: tells whether it is answered with success.
answers() {
  curl --silent --fail --max-time 5 --output /dev/null "$1"
}
