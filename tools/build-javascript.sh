#!/usr/bin/env bash
# build-javascript.sh: builds the JavaScript application of the tests, with the packages that its lock names, unless it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=metrics-host/tests/javascript
component=$PWD/target/wasm32-wasip2/component/javascript_component.wasm
if [ -e "$component" ] && [ -z "$(find "$sources" -newer "$component")" ]; then
  exit 0
fi
packages=$(tools/packages.sh "$sources/package-lock.json")
install -m 644 -t "$packages" "$sources"/{build.mjs,index.js,package.json}
mkdir -p "$(dirname "$component")"
cd "$packages"
node build.mjs
node_modules/.bin/j2w --input build/bundle.js --output "$component"
