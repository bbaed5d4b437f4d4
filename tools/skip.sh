#!/usr/bin/env bash
# skip.sh REASON: ends a step that cannot run on this machine, with the exit code that tools/step.sh knows.
echo "skipped: $1" >&2
exit 77
