#!/usr/bin/env bash
# version.sh [TAG]: prints the version of this tree; fails unless Cargo.toml, spin.toml, the chart, CHANGELOG.md and TAG agree about it. With a TAG,
# the changelog must have nothing unreleased, and the repository in metrics-host/Cargo.toml, where `cargo binstall` downloads from, must be
# GITHUB_REPOSITORY.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "version: $*" >&2; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
spin=$(sed -n '/^\[application\]/,/^\[/ s/^version = "\(.*\)"/\1/p' spin.toml)
chart=$(sed -nE 's/^(version|appVersion): //p' deploy/helm/metrics-host/Chart.yaml | sort -u)
changes=$(sed -n 's/^## //p' CHANGELOG.md | head -n 1)
# A tree that is not a release may have unreleased changes.
[ -n "${1:-}" ] || [ "$changes" != Unreleased ] || changes=$(sed -n 's/^## //p' CHANGELOG.md | sed -n 2p)
tag=${1:-v$version}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || fail "Cargo.toml: expected the version as X.Y.Z, got \"$version\""
[ "$spin" = "$version" ] && [ "$chart" = "$version" ] && [ "$changes" = "$version" ] && [ "$tag" = "v$version" ] ||
  fail "Cargo.toml has \"$version\", spin.toml \"$spin\", Chart.yaml \"$chart\", the newest heading of CHANGELOG.md \"$changes\", the tag is \"$tag\""
if [ -n "${1:-}" ]; then
  repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' metrics-host/Cargo.toml)
  expected=https://github.com/${GITHUB_REPOSITORY:?names the repository of the tag}
  [ "$repository" = "$expected" ] || fail "metrics-host/Cargo.toml has the repository \"$repository\", expected \"$expected\""
fi
echo "$version"
