#!/usr/bin/env bash
# copy-tree.sh DIRECTORY: copies there what git tracks or would, as it is now.
set -euo pipefail
directory=$(realpath "$1")
cd "$(dirname "$0")/.."
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference --preserve=timestamps --target-directory "$directory"
