#!/usr/bin/env bash
# Stops the stack of compose.yaml, whichever its profile, and keeps its volumes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/docker.sh
. tools/docker.sh

env=.env
[ -f "$env" ] || env=.env.example
COMPOSE_PROFILES=embedded,spin,fleet compose --env-file "$env" down
echo "Items, metrics and Grafana's settings are kept in volumes. To remove them too: COMPOSE_PROFILES=embedded,spin,fleet docker compose down --volumes"
