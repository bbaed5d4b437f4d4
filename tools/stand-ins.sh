#!/usr/bin/env bash
# Sourced by tests of containers: a Docker daemon, the folder $work, a deployment in it, and images named $name-* that hold files of this
# machine, since a test can reach no registry.
# shellcheck source=tools/docker.sh
. tools/docker.sh
tools/need.sh prometheus prometheus-alertmanager busybox:busybox-static haproxy
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || tools/need.sh a-postgresql-server:postgresql

test=$(basename "$0" .sh)
fail() { echo "$test: $*" >&2; exit 1; }
# expect WHAT EXPECTED ACTUAL
expect() { [ "$2" = "$3" ] || fail "$1: expected $2, got $3"; }

work=${STAND_INS_WORK:-$(mktemp -d)}
# Where no daemon answers, the test starts once more with one of its own, in namespaces that end with it and touch nothing else.
if [ -n "${STAND_INS_WORK:-}" ]; then
  ip link set lo up
  export DOCKER_HOST="unix://$work/docker.sock"
  dockerd --host "$DOCKER_HOST" --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" >"$work/dockerd.log" 2>&1 &
  await 30 "a Docker daemon answers" daemon_answers || {
    tail -n 3 "$work/dockerd.log" >&2
    tools/skip.sh "dockerd does not start on this machine"
  }
elif ! daemon_answers; then
  trap 'rm -rf "$work"' EXIT
  own=(unshare --net --mount --pid --fork --kill-child --mount-proc)
  [ "$(id -u)" = 0 ] || tools/skip.sh "no Docker daemon answers, and only root can start one"
  "${own[@]}" true || tools/skip.sh "no Docker daemon answers, and this machine allows no namespaces for one"
  tools/need.sh dockerd:docker.io ip:iproute2
  STAND_INS_WORK=$work "${own[@]}" "$0"
  exit
fi

name=metrics-host-$test-$$ deployment=$work/deployment
export COMPOSE_PROJECT_NAME=$name COMPOSE_FILE=$deployment/compose.yaml:$work/stand-ins.yaml SPIN_IMAGE=$name-spin
cleanup() {
  local status=$?
  [ "$status" = 0 ] || compose logs --no-color --tail 15 >&2 || true
  COMPOSE_PROFILES=embedded,spin,fleet compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  # All else of a daemon of its own ends with its namespaces.
  [ -z "${STAND_INS_WORK:-}" ] || return 0
  docker image ls --quiet --filter "reference=$name*" --filter "reference=*/$name*" | sort -u | xargs -r "$docker_client" image rm --force >/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# libraries PROGRAM DIRECTORY: copies the shared libraries that a program loads, to their own paths there.
libraries() {
  { ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || true; } | xargs -r cp --dereference --parents --update --target-directory "$2"
}
# place PROGRAM DIRECTORY PATH: copies a program to DIRECTORY/PATH, and its libraries.
place() {
  install -D "$1" "$2/$3"
  libraries "$1" "$2"
}
# import DIRECTORY TAG [LINE...]: makes an image of DIRECTORY, with more lines of a Dockerfile.
import() {
  printf '%s\n' 'FROM scratch' 'COPY . /' "${@:3}" | docker build --quiet --tag "$2" --file - "$1" >/dev/null
}
# busybox_in DIRECTORY APPLET...: puts a busybox there, with the names it is called by.
busybox_in() {
  place "$(command -v busybox)" "$1" bin/busybox
  for applet in "${@:2}"; do ln -s busybox "$1/bin/$applet"; done
}

# server_image PROGRAM NAME: Debian's Prometheus or Alertmanager, laid out like the image of compose.yaml.
server_image() {
  place "$(command -v "$1")" "$work/$2" "bin/$2"
  busybox_in "$work/$2" wget
  install -d -m 0777 "$work/$2/$2"
  import "$work/$2" "$name-$2" 'USER 65534' "WORKDIR /$2" "VOLUME /$2" "ENTRYPOINT [\"/bin/$2\"]"
}

# The Dockerfile's last stage, from the results of `make build` and this machine's C library.
out=$work/artefacts/out
mkdir -p "$work/app" "$out/state" "$work/alertmanager" "$work/grafana/www/api"
libraries target/release/metrics-host "$work/app"
# No test asks for line tables, and they are most of the file.
objcopy --strip-debug target/release/metrics-host "$out/metrics-host"
install -D -m 0644 -t "$out/app" spin.toml
install -D -m 0644 -t "$out/app/target/wasm32-wasip2/component" target/wasm32-wasip2/component/items_component.wasm
import "$work/app" "$name-base"
import "$work/artefacts" "$name-artefacts"
docker build --quiet --tag "$name-app" --build-arg RUNTIME_IMAGE="$name-base" --build-arg ARTEFACTS="$name-artefacts" \
  --build-arg VERSION=1.2.3 --build-arg REVISION=0123456789abcdef --build-arg CREATED=2026-01-02T03:04:05Z . >/dev/null

server_image prometheus prometheus
# Debian's Alertmanager reads its templates from there; others have them inside.
cp --parents /usr/share/prometheus/alertmanager/*.tmpl "$work/alertmanager"
server_image prometheus-alertmanager alertmanager
# No Grafana, but a server that fails as Grafana would when its password, its files or a place to write are missing.
busybox_in "$work/grafana" sh wget
install -d -m 0777 "$work/grafana/var/lib/grafana"
echo '{"database": "ok"}' >"$work/grafana/www/api/health"
cat >"$work/grafana/run.sh" <<'SCRIPT'
#!/bin/sh -eu
[ -s "$GF_SECURITY_ADMIN_PASSWORD__FILE" ]
for file in "$GF_SECURITY_ADMIN_PASSWORD__FILE" /etc/grafana/provisioning/*/*.yaml "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"; do : <"$file"; done
: >/var/lib/grafana/grafana.db >/tmp/socket
/bin/busybox httpd -p 3000 -h /www
trap 'exit 0' TERM
/bin/busybox sleep 3600 & wait
SCRIPT
chmod 755 "$work/grafana/run.sh"
import "$work/grafana" "$name-grafana" 'USER 472' 'VOLUME /var/lib/grafana' 'ENTRYPOINT ["/run.sh"]'

# Debian's HAProxy and PostgreSQL, for the profile fleet.
place "$(command -v haproxy)" "$work/haproxy" bin/haproxy
busybox_in "$work/haproxy" wget
import "$work/haproxy" "$name-haproxy" 'ENV PATH=/bin'

server=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort | tail -n 1)
server=${server%/bin/postgres}
busybox_in "$work/postgres" sh
install -d "$work/postgres/etc" "$work/postgres/usr/share/postgresql" "$work/postgres/usr/share/zoneinfo/Etc"
install -d -m 0777 "$work/postgres/var/lib/postgresql/data"
cp --parents -r "$server" "/usr/share/postgresql/${server##*/}" /usr/share/zoneinfo/{UTC,GMT,Etc/UTC} "$work/postgres"
for program in "$server"/bin/{postgres,initdb,pg_isready}; do
  libraries "$program" "$work/postgres"
  ln -s "$program" "$work/postgres/bin/"
done
echo 'postgres:x:999:999::/:/bin/sh' >"$work/postgres/etc/passwd"
cat >"$work/postgres/run.sh" <<'SCRIPT'
#!/bin/sh -eu
# A folder of its own: nobody but its owner may set the permissions of the volume.
data=/var/lib/postgresql/data/own
[ -s $data/PG_VERSION ] || {
  initdb --pgdata $data --no-sync --username "$POSTGRES_USER" --auth "$POSTGRES_HOST_AUTH_METHOD" --locale C --encoding UTF8
  echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>$data/pg_hba.conf
  echo "CREATE DATABASE $POSTGRES_USER" | postgres --single -D $data postgres
}
exec postgres -D $data -c "listen_addresses=*" -c unix_socket_directories=/run/postgresql
SCRIPT
chmod 755 "$work/postgres/run.sh"
import "$work/postgres" "$name-postgres" 'ENV PATH=/bin' 'USER 999' 'VOLUME /var/lib/postgresql/data' 'ENTRYPOINT ["/run.sh"]'

# A deployment with settings of its own: the user's .env stays as it is.
mkdir -p "$deployment/secrets"
cp -r compose.yaml tools alerts grafana deploy "$deployment"
head -c 18 /dev/urandom | base64 >"$deployment/secrets/password"
chmod -R go+rX "$work"
printf '%s\n' COMPOSE_PROFILES=embedded METRICS_HOST_IMAGE="$name-app" GRAFANA_ADMIN_PASSWORD_FILE=./secrets/password \
  {API,METRICS,PROMETHEUS,ALERTMANAGER,GRAFANA}_PORT=0 >"$deployment/.env"
cat >"$work/stand-ins.yaml" <<YAML
services:
  # In Spin's place a metrics-host that sends its component's telemetry to the sidecar, as the component under Spin does.
  spin: {entrypoint: [/metrics-host, serve], environment: {SPIN_VARIABLE_TELEMETRY: otlp}}
  prometheus: {image: $name-prometheus}
  alertmanager: {image: $name-alertmanager}
  grafana: {image: $name-grafana}
  haproxy: {image: $name-haproxy}
  postgres: {image: $name-postgres}
YAML
