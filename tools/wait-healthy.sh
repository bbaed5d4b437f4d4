#!/usr/bin/env bash
# wait-healthy.sh SECONDS CONTAINER...: waits until all are healthy; if they are not by then, shows what those said that are not.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

seconds=$1
shift
[ $# -gt 0 ] || { echo "wait-healthy: no container to wait for" >&2; exit 1; }

unhealthy() {
  docker inspect --format '{{.Id}} {{.Name}} {{if .State.Health}}{{.State.Health.Status}}{{else}}without a health check{{end}}' "$@" |
    grep -v ' healthy$' || true
}

deadline=$((SECONDS + seconds))
while waiting=$(unhealthy "$@") && [ -n "$waiting" ]; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    while read -r id name state; do
      echo "wait-healthy: ${name#/} is not healthy after $seconds s but $state" >&2
      docker inspect --format '{{if .State.Health}}{{range .State.Health.Log}}{{.Output}}{{end}}{{end}}' "$id" | tail -n 2 >&2
      docker logs --tail 20 "$id" >&2
    done <<<"$waiting"
    exit 1
  fi
  sleep 0.5
done
