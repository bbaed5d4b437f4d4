#!/usr/bin/env bash
# Makes the files of a release as release.yml does, with stand-ins for what other machines build, and tries them: the gateway's settings,
# checksums, the chart, the plugin's archives and manifest, and the plugin under a real Spin, where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh jq readelf:binutils cc:gcc,libc6-dev
fail() { echo "test-release-files: $*" >&2; exit 1; }
# expect WHAT EXPECTED ACTUAL
expect() { [ "$2" = "$3" ] || fail "$1: expected $2, got $3"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(tools/version.sh) url=https://example.com/releases/v1
files=$work/files binaries=$work/binaries
mkdir -p "$files" "$binaries"

# Any component does: nobody runs it here.
settings=$(tools/release/gateway.sh target/wasm32-wasip2/component/items_component.wasm "$files" "$url")
digest=$(sha256sum <"$files/metrics_gateway-$version.wasm" | cut -d ' ' -f 1)
expect "the gateway's settings" "METRICS_HOST_GATEWAY_URL=$url/metrics_gateway-$version.wasm METRICS_HOST_GATEWAY_DIGEST=sha256:$digest" "${settings//$'\n'/ }"

# The binary of `make build` is dynamic. Line tables are most of the file.
host=$work/metrics-host
objcopy --strip-debug target/release/metrics-host "$host"
tools/release/smoke.sh "$host"
for linux in amd64 aarch64; do
  echo 'void _start(void) { for (;;); }' | cc -static -nostdlib -o "$binaries/metrics-host-linux-$linux" -x c -
done
for macos in amd64 aarch64; do echo "a stand-in for $macos" >"$binaries/metrics-host-macos-$macos"; done
tools/release/pack.sh "$binaries" "$files" "$url"

cd "$files"
expect "the files" "$(printf '%s\n' "metrics-$version-"{linux,macos}-{aarch64,amd64}.tar.gz "metrics-host-$version.tgz" metrics.json "metrics_gateway-$version.wasm" SHA256SUMS | sort | xargs)" \
  "$(printf '%s\n' * | sort | xargs)"
expect "what has a checksum" "$(printf '%s\n' * | grep -vx SHA256SUMS | xargs)" "$(sha256sum --check SHA256SUMS | cut -d : -f 1 | sort | xargs)"
for platform in {linux,macos}/{amd64,aarch64}; do
  archive=metrics-$version-${platform/\//-}.tar.gz
  targets=(apple-darwin) packed="-rwxr-xr-x 0/0 metrics -rw-r--r-- 0/0 metrics.license"
  [[ $platform = macos/* ]] || targets=(unknown-linux-{gnu,musl}) packed="$packed -rw-r--r-- 0/0 metrics-host.service"
  machine=${platform#*/}
  for target in "${targets[@]/#/${machine/amd64/x86_64}-}"; do
    expect "where cargo binstall finds the binary for $target" "pkg-url = \"{ repo }/releases/download/v{ version }/${archive/$version/{ version \}}\"" \
      "$(grep -xFA 1 "[package.metadata.binstall.overrides.$target]" "$OLDPWD/metrics-host/Cargo.toml" | tail -n 1)"
  done
  expect "the manifest about $platform" "$url/$archive $(sha256sum <"$archive" | cut -d ' ' -f 1)" \
    "$(jq --raw-output --arg platform "$platform" '.packages[] | select("\(.os)/\(.arch)" == $platform) | "\(.url) \(.sha256)"' metrics.json)"
  expect "what is in $archive" "$packed" \
    "$(tar --list --verbose --gzip --file "$archive" | awk '{ print $1, $2, $NF }' | xargs)"
  mkdir "$work/unpacked"
  tar --extract --gzip --file "$archive" --directory "$work/unpacked"
  cmp "$work/unpacked/metrics" "$binaries/metrics-host-${platform/\//-}"
  rm -r "$work/unpacked"
done
cd - >/dev/null
tools/deploy.sh helm template shop "$files/metrics-host-$version.tgz" --set image.reference=image@sha256:1 >"$work/rendered"
grep -qx "    helm.sh/chart: metrics-host-$version" "$work/rendered" || fail "the chart renders nothing of version $version"

export METRICS_HOST_GATEWAY_URL=$url/metrics_gateway-$version.wasm METRICS_HOST_GATEWAY_DIGEST=sha256:$digest
echo "5xx: proven" >"$work/alerts"
notes=$(tools/release/notes.sh "v$version" image@sha256:1 application@sha256:2 https://example.com/ci "$work/alerts")
for line in "| Spin plugin | \`spin plugins install --url $url/metrics.json\` |" \
  "| Helm chart | \`$url/metrics-host-$version.tgz\` |" \
  "| gateway component | \`source = { url = \"$url/metrics_gateway-$version.wasm\", digest = \"sha256:$digest\" }\` |"; do
  grep -qxF "$line" <<<"$notes" || fail "the notes: expected $line, got: $notes"
done

# Binaries that must not be released: one is dynamic, one is missing, one names no gateway.
for linux in amd64 aarch64; do
  mv "$binaries/metrics-host-linux-$linux" "$work/static"
  cp "$host" "$binaries/metrics-host-linux-$linux"
  if said=$(tools/release/pack.sh "$binaries" "$files" "$url" 2>&1); then fail "packed a dynamic binary for linux, $linux"; fi
  grep -q "linux-$linux loads libraries, expected a static binary" <<<"$said" || fail "expected a refusal of a dynamic binary, got: $said"
  mv "$work/static" "$binaries/metrics-host-linux-$linux"
done
if tools/release/bare.sh "$host" 2>/dev/null; then fail "a dynamic binary started in an empty root directory"; fi
mv "$binaries/metrics-host-macos-amd64" "$work"
if tools/release/pack.sh "$binaries" "$files" "$url" 2>/dev/null; then fail "packed without a binary for macos, amd64"; fi
if tools/release/smoke.sh "$host" 2>/dev/null; then fail "a binary that names no gateway passed for one that does"; fi
unset METRICS_HOST_GATEWAY_URL METRICS_HOST_GATEWAY_DIGEST
# The packed binary is a stand-in, which answers nothing.
tools/release/plugin.sh "$files" "$url" "$host:linux:$(uname -m | sed 's/x86_64/amd64/')"
tools/release/try-plugin.sh "$url" "$files"
echo "test-release-files: passed"
