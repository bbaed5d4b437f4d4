#!/usr/bin/env bash
# download.sh URL SHA256 PROGRAM: prints the path of a program in an archive that is downloaded under target/tools where it is not yet,
# and kept only if it is the one that is meant.
set -euo pipefail
cd "$(dirname "$0")/.."
url=$1 digest=$2 program=$3

directory=$PWD/target/tools/$(basename "$url" .tar.gz)
if [ ! -x "$directory/$program" ]; then
  mkdir -p "$directory"
  archive=$(mktemp "$directory/XXXXXX")
  trap 'rm -f "$archive"' EXIT
  curl --silent --show-error --fail --location --proto '=https' --retry 3 --max-time 300 --output "$archive" "$url" ||
    tools/skip.sh "$url cannot be downloaded" || exit
  echo "$digest  $archive" | sha256sum --check --quiet || {
    echo "download: $url: expected SHA-256 $digest" >&2
    exit 1
  }
  tar --extract --gzip --file "$archive" --directory "$directory" "$program"
fi
echo "$directory/$program"
