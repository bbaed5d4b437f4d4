#!/usr/bin/env bash
# Sourced: how to wait for a server, and where it listens.

# await SECONDS WHAT COMMAND...: runs the command until it succeeds; fails if it does not in that time.
await() {
  local deadline=$((SECONDS + $1))
  until "${@:3}"; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "timed out after $1 s; expected: $2" >&2; return 1; }
    sleep 0.2
  done
}

# answers URL: tells whether a GET succeeds.
answers() { curl --silent --fail --max-time 5 --output /dev/null "$1"; }

# address FILE NAME: prints the address of a listener, as metrics-host writes it into its file of addresses.
address() { sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p" "$1"; }
