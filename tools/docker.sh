#!/usr/bin/env bash
# Sourced: the functions `docker` and `compose`, whichever clients this machine has, and what the scripts around them share.
# shellcheck source=tools/wait.sh
. tools/wait.sh
tools/need.sh docker:docker.io

# A client of version 23 or newer builds only with the plugin buildx; Debian's 20.10 needs no plugin.
for docker_client in $(type -aP docker); do
  client_version=$("$docker_client" version --format '{{.Client.Version}}' 2>/dev/null || true)
  if [ "${client_version%%.*}" -lt 23 ] || "$docker_client" buildx version >/dev/null 2>&1; then break; fi
done
docker() { DOCKER_BUILDKIT=1 "$docker_client" "$@"; }

if docker compose version >/dev/null 2>&1; then
  compose() { docker compose "$@"; }
else
  tools/need.sh docker-compose
  compose() { docker-compose "$@"; }
fi

daemon_answers() { docker info >/dev/null 2>&1; }
# Ends a step where no daemon answers.
require_daemon() { daemon_answers || tools/skip.sh "no Docker daemon answers"; }

# setting NAME: prints a setting of compose.yaml: from the environment or else from .env.
setting() { printf %s "${!1-$(sed -n "s/^$1=//p" .env | tail -n 1)}"; }

is_healthy() { [ "$(docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$1")" = healthy ]; }
# await_healthy SECONDS CONTAINER...: waits until all are healthy; of one that is not by then, shows what it said.
await_healthy() {
  local container deadline=$((SECONDS + $1))
  for container in "${@:2}"; do
    await $((deadline - SECONDS)) "container $container is healthy" is_healthy "$container" || {
      docker inspect --format '{{.Name}}: {{if .State.Health}}{{range .State.Health.Log}}{{.Output}}{{end}}{{end}}' "$container" >&2
      docker logs --tail 20 "$container" >&2
      return 1
    }
  done
}
