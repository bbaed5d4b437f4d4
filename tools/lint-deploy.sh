#!/usr/bin/env bash
# Lints what is run and deployed: scripts, Dockerfiles, YAML files, compose.yaml.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
tools/linter.sh shellcheck --external-sources "${scripts[@]}"
tools/linter.sh hadolint Dockerfile Dockerfile.spin
mapfile -t yaml < <(git ls-files --cached --others --exclude-standard '*.yml' '*.yaml')
tools/linter.sh yamllint --strict "${yaml[@]}"
tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml tools/linters/compose.yaml
