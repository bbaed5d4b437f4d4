#!/usr/bin/env bash
# product.sh [COMMIT]: prints a digest of the files that the product is built from, without tests and pages. It is the same after a rebase.
set -euo pipefail
git ls-tree -r --full-tree "${1:-HEAD}" -- Cargo.lock rust-toolchain.toml spin.toml alerts/source alerts/src items-component metrics-host \
  spin-host telemetry | sed -E '\#/(benches|corpus|examples|tests)/|\.md$#d' | sha256sum | cut -d ' ' -f 1
