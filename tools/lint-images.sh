#!/usr/bin/env bash
# Lints with the images of the Prometheus and the Alertmanager that compose.yaml runs, and of the newest actionlint.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh
require_daemon

# from NAME PROGRAM ARGUMENT...: runs a program of that image in the repository, which it can only read.
from() {
  local image
  image=$(grep -ho "$1:.*@sha256:.*" compose.yaml tools/linters/compose.yaml)
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null || tools/skip.sh "$image cannot be pulled"
  docker run --rm --network none --read-only --cap-drop ALL --volume "$PWD:/repository:ro" --workdir /repository \
    --entrypoint "$2" "$image" "${@:3}"
}
for folder in alerts alerts/demo; do
  from prom/prometheus promtool check config "$folder/prometheus.yml"
  from prom/alertmanager amtool check-config "$folder/alertmanager.yml"
done
from prom/prometheus promtool test rules alerts/tests/*_test.yml
from rhysd/actionlint actionlint -color
