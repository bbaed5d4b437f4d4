#!/usr/bin/env bash
# Stops the stack of compose.yaml, whichever its profile, and keeps its volumes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

if [ ! -f .env ]; then
  set -a
  # shellcheck source=.env.example
  . ./.env.example
  set +a
fi
COMPOSE_PROFILES=embedded,spin compose down
echo "Items, metrics and Grafana's settings are kept in volumes. To remove them too: COMPOSE_PROFILES=embedded,spin docker compose down --volumes"
