#!/usr/bin/env bash
# test-templates.sh COMMAND...: runs the test of Spin's templates with what it needs: Spin, its templates, and Zig.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v spin >/dev/null || tools/skip.sh "spin is not on PATH"
packages=$(tools/packages.sh metrics-host/tests/it/templates/requirements.txt) || tools/skip.sh "Zig cannot be installed"
rustup --quiet target add wasm32-wasip1
# Repositories of templates, or folders of them.
repositories=$(printf 'https://github.com/spinframework/%s ' spin spin-js-sdk spin-python-sdk)
export SPIN_TEMPLATES=${SPIN_TEMPLATES:-$repositories}
# The package has the compiler where no shell finds it.
mkdir -p "$packages/zig"
ln -sf "$packages"/lib/python*/site-packages/ziglang/zig "$packages/zig/zig"
export PATH=$packages/zig:$PATH
exec "$@"
