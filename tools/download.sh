#!/usr/bin/env bash
# download.sh URL SHA256 PROGRAM: prints the path of a program that the archive at URL holds; downloads it to target/tools if it is not
# there, and keeps it only if the digest is right.
set -euo pipefail
cd "$(dirname "$0")/.."
directory=$PWD/target/tools/$(basename "$1" .tar.gz)
if [ ! -x "$directory/$3" ]; then
  mkdir -p "$directory"
  archive=$(mktemp)
  trap 'rm -f "$archive"' EXIT
  curl --silent --show-error --fail --location --proto '=https' --retry 3 --max-time 300 --output "$archive" "$1" ||
    tools/skip.sh "$1 cannot be downloaded"
  echo "$2  $archive" | sha256sum --check --quiet
  tar --extract --gzip --file "$archive" --directory "$directory" "$3"
fi
echo "$directory/$3"
