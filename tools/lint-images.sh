#!/usr/bin/env bash
# Lints with what comes as images: the Prometheus and the Alertmanager that compose.yaml runs, and the newest actionlint.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

docker info >/dev/null 2>&1 || skip "no Docker daemon answers"
# image FILE SERVICE: prints the image of a service.
image() {
  sed -n "/^  $2:/,/^  [a-z]/ s/^ *image: //p" "$1" | head -n 1
}
prometheus=$(image compose.yaml prometheus)
alertmanager=$(image compose.yaml alertmanager)
actionlint=$(image tools/linters/compose.yaml actionlint)
for image in "$prometheus" "$alertmanager" "$actionlint"; do
  docker pull --quiet "$image" >/dev/null || skip "$image cannot be pulled"
done

# in_image IMAGE PROGRAM ARGUMENT...: runs a program in the repository, which it can only read.
in_image() {
  local image=$1 program=$2
  shift 2
  docker run --rm --network none --read-only --cap-drop ALL --volume "$PWD:/repository:ro" --workdir /repository \
    --entrypoint "$program" "$image" "$@"
}
for configuration in alerts alerts/demo; do
  in_image "$prometheus" promtool check config "$configuration/prometheus.yml"
  in_image "$alertmanager" amtool check-config "$configuration/alertmanager.yml"
done
in_image "$prometheus" promtool test rules alerts/tests/*_test.yml
in_image "$actionlint" actionlint -color
