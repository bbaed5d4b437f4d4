#!/usr/bin/env bash
# newer.sh PACKAGE...: prints the path of a folder with the programs of these packages of Debian unstable. They are unpacked beside the
# system, which stays as it is; apt checks their signatures.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/target/tools/debian-unstable
mkdir -p "$folder"/{lists/partial,cache/archives/partial,root}
exec 9>"$folder/lock"
flock 9

missing=()
for package in "$@"; do [ -e "$folder/$package.complete" ] || missing+=("$package"); done
if [ ${#missing[@]} != 0 ]; then
  # The mirror is the one that the system itself uses.
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1 | tr -d ' ') || true
  [ -n "$mirror" ] || tools/skip.sh "this system's sources name no mirror of Debian"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$folder/sources.list"
  apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
  echo "downloading ${missing[*]} of Debian unstable" >&2
  "${apt[@]}" update >&2 || tools/skip.sh "the suite sid of $mirror cannot be read"
  for package in "${missing[@]}"; do
    (cd "$folder/cache" && "${apt[@]}" download "$package" >&2)
    dpkg --extract "$folder/cache/${package}"_*.deb "$folder/root"
    touch "$folder/$package.complete"
  done
fi
echo "$folder/root/usr/bin"
