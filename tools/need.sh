#!/usr/bin/env bash
# need.sh COMMAND[:PACKAGE[,PACKAGE]]...: installs Debian's packages for the commands that are missing; without the right to, says how.
set -euo pipefail

# Sets `packages`, and fails if there are any.
nothing_missing() {
  local need
  packages=()
  for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || mapfile -td , -O ${#packages[@]} packages < <(printf %s "${need#*:}")
  done
  [ ${#packages[@]} = 0 ]
}
needs=("$@")
nothing_missing && exit
# One of two at the same time waits for the other.
locks=$(dirname "$0")/../target/tools
mkdir -p "$locks"
exec 9>"$locks/need.lock"
flock 9
nothing_missing && exit

sudo=(sudo -n)
[ "$(id -u)" != 0 ] || sudo=()
"${sudo[@]}" true 2>/dev/null || {
  echo "Debian packages are missing: run \`sudo apt-get install ${packages[*]}\`" >&2
  exit 1
}
echo "installing ${packages[*]}" >&2
# Debian asks this script whether a package may start its service.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
  "${sudo[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
fi
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null
