#!/usr/bin/env bash
# need.sh COMMAND PACKAGE...: installs Debian's packages where COMMAND is missing; without the right to, says how.
set -euo pipefail
command=$1
shift

command -v "$command" >/dev/null && exit 0
# Two that find it missing at the same time must not both install it.
locks=$(dirname "$0")/../target/tools
mkdir -p "$locks"
exec 9>"$locks/need.lock"
flock 9
command -v "$command" >/dev/null && exit 0
if [ "$(id -u)" = 0 ]; then
  sudo=()
elif sudo -n true 2>/dev/null; then
  sudo=(sudo -n)
else
  echo "$command is needed: run \`sudo apt-get install $*\`" >&2
  exit 1
fi

# A package may bring a service; Debian asks this script whether to start it, and a build wants the command alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 755 "$policy"
fi
"${sudo[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
