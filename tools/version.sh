#!/usr/bin/env bash
# version.sh [TAG]: prints the version of this tree; fails unless Cargo.toml, spin.toml, CHANGELOG.md and, if there is one, the
# tag agree about it.
set -euo pipefail
cd "$(dirname "$0")/.."

# from_toml FILE TABLE: prints the version in a table of a TOML file.
from_toml() {
  sed -n "/^\[$2\]/,/^\[/ s/^version = \"\(.*\)\"/\1/p" "$1"
}
version=$(from_toml Cargo.toml workspace.package)
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
  echo "version: Cargo.toml: expected the version as X.Y.Z, got \"$version\"" >&2
  exit 1
fi
failed=
# agree WHERE ACTUAL
agree() {
  [ "$2" = "$version" ] && return
  echo "version: $1 has \"$2\", Cargo.toml has \"$version\"" >&2
  failed=yes
}
agree spin.toml "$(from_toml spin.toml application)"
agree "the newest heading of CHANGELOG.md" "$(sed -n 's/^## //p' CHANGELOG.md | head -n 1)"
[ -z "${1:-}" ] || agree "the tag $1" "${1#v}"
[[ ${1:-v} == v* ]] || { echo "version: the tag \"$1\" does not begin with v" >&2; failed=yes; }
[ -z "$failed" ]
echo "$version"
