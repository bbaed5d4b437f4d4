#!/usr/bin/env bash
# need.sh COMMAND[:PACKAGE[,PACKAGE]]...: installs Debian's packages for the commands that are missing; without the right to, says how.
set -euo pipefail

# Prints the packages of the commands that are missing.
missing() { for need in "$@"; do command -v "${need%%:*}" >/dev/null || tr , '\n' <<<"${need#*:}"; done; }
[ -n "$(missing "$@")" ] || exit 0
# One of two at the same time waits for the other.
locks=$(dirname "$0")/../target/tools
mkdir -p "$locks"
exec 9>"$locks/need.lock"
flock 9
mapfile -t packages < <(missing "$@")
[ ${#packages[@]} != 0 ] || exit 0

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
