#!/usr/bin/env bash
# Sourced: the functions `docker` and `compose`, whatever of the two this machine has, and a daemon of our own for tests.

tools/need.sh docker docker.io

# Sets docker_client. One of version 23 or newer builds only with the plugin buildx; Debian's 20.10 needs none.
choose_docker_client() {
  local client version
  while read -r client; do
    version=$("$client" version --format '{{.Client.Version}}' 2>/dev/null || true)
    if [ "${version%%.*}" -lt 23 ] || "$client" buildx version >/dev/null 2>&1; then
      docker_client=$client
      return
    fi
  done < <(type -aP docker)
  docker_client=$(type -P docker)
}
choose_docker_client

docker() {
  DOCKER_BUILDKIT=1 "$docker_client" "$@"
}

if docker compose version >/dev/null 2>&1; then
  compose() { docker compose "$@"; }
else
  tools/need.sh docker-compose docker-compose
  compose() { docker-compose "$@"; }
fi

# Ends a test that cannot run here; `make` shows the reason and goes on.
skip() {
  tools/skip.sh "$*" || exit $?
}

# Where no Docker daemon runs, starts the calling script anew in a network of its own, in which `start_daemon` then starts one:
# its bridges and firewall rules touch nobody and end with it. To be called when all is installed, for that network leads nowhere.
isolate() {
  if docker info >/dev/null 2>&1 || [ -n "${OWN_NETWORK:-}" ]; then
    return
  fi
  [ "$(id -u)" = 0 ] || skip "no Docker daemon answers, and starting one takes root"
  tools/need.sh dockerd docker.io
  tools/need.sh ip iproute2
  unshare --net true 2>/dev/null || skip "no Docker daemon answers, and this machine allows no network namespace for one"
  OWN_NETWORK=yes exec unshare --net "tools/$(basename "$0")"
}

daemon_pid=

# Starts a daemon with its state in DIRECTORY if this is our own network; `stop_daemon` ends it.
start_daemon() {
  local directory=$1 deadline=$((SECONDS + 30))
  [ -n "${OWN_NETWORK:-}" ] || return 0
  ip link set lo up
  mkdir -p "$directory"
  export DOCKER_HOST="unix://$directory/docker.sock"
  dockerd --host "$DOCKER_HOST" --data-root "$directory/data" --exec-root "$directory/exec" --pidfile "$directory/pid" \
    >"$directory/log" 2>&1 &
  daemon_pid=$!
  until docker info >/dev/null 2>&1; do
    if ! kill -0 "$daemon_pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 3 "$directory/log" >&2
      skip "dockerd does not start on this machine (see above)"
    fi
    sleep 0.2
  done
}

stop_daemon() {
  if [ -n "$daemon_pid" ]; then
    kill "$daemon_pid" 2>/dev/null || true
    wait "$daemon_pid" || true
    daemon_pid=
  fi
}
