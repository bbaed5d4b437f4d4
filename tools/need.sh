#!/usr/bin/env bash
# need.sh COMMAND PACKAGE...: installs Debian's packages where COMMAND is missing; without the right to, says how.
set -euo pipefail
command=$1
shift

command -v "$command" >/dev/null && exit 0
if [ "$(id -u)" = 0 ]; then
  sudo=()
elif sudo -n true 2>/dev/null; then
  sudo=(sudo -n)
else
  echo "$command is needed: run \`sudo apt-get install $*\`" >&2
  exit 1
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
