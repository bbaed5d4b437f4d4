#!/usr/bin/env bash
# binary.sh FOLDER: builds the metrics-host of a release for this machine, as FOLDER/metrics-host-OS-ARCH: on Linux with musl, as a static
# binary. Its `add` names the gateway METRICS_HOST_GATEWAY_URL, METRICS_HOST_GATEWAY_DIGEST. The bash of macOS is 3.2.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
machine=$(uname -m | sed 's/arm64/aarch64/')
if [ "$(uname -s)" = Linux ]; then
  os=linux target=$machine-unknown-linux-musl
  tools/need.sh cc:gcc,libc6-dev musl-gcc:musl-tools
else
  os=macos target=$machine-apple-darwin
  # The benchmark, which trains it, needs Linux.
  export PGO=off
fi
rustup toolchain install
rustup target add "$target"
auditable=$(sed -n 's/.*\(cargo-auditable@[0-9.]*\).*/\1/p' Dockerfile)
cargo install --locked --root target/auditable "$auditable"
# Function names stay, for backtraces; line tables would be most of the file.
PATH=$PWD/target/auditable/bin:$PATH CARGO_PROFILE_DIST_STRIP=debuginfo BUILD="cargo auditable build" tools/dist.sh "$target"
install -m 755 "target/$target/dist/metrics-host" "$out/metrics-host-$os-${machine/x86_64/amd64}"
