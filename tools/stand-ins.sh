#!/usr/bin/env bash
# Sourced after docker.sh: images made of files of this machine, for tests where no registry can be reached.

# Copies FILE to DIRECTORY/PATH, with the shared libraries it loads at their own paths.
place() {
  local file=$1 directory=$2 path=$3
  install -D "$file" "$directory/$path"
  { ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || true; } | while read -r library; do
    cp --dereference --parents --update "$library" "$directory"
  done
}

# import DIRECTORY TAG [CHANGE...]: makes an image of DIRECTORY; a CHANGE is a line of a Dockerfile.
import() {
  local directory=$1 tag=$2 changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar --create --owner=0 --group=0 --directory "$directory" . | docker import "${changes[@]}" - "$tag" >/dev/null
}

# app_image WORK TAG: builds the Dockerfile's last stage as TAG, of what `make build` left and of this machine's C library.
app_image() {
  local work=$1 tag=$2 out=$1/artefacts/out
  place target/release/metrics-host "$work/app" metrics-host
  install -d "$out/state"
  # Line tables are most of the file, and say nothing that a test asks.
  objcopy --strip-debug "$work/app/metrics-host" "$out/metrics-host"
  rm "$work/app/metrics-host"
  install -D -m 0644 -t "$out/app" spin.toml
  install -D -m 0644 -t "$out/app/target/wasm32-wasip2/component" target/wasm32-wasip2/component/items_component.wasm
  import "$work/app" "$tag-base"
  import "$work/artefacts" "$tag-artefacts"
  docker build --quiet --tag "$tag" --build-arg RUNTIME_IMAGE="$tag-base" --build-arg ARTEFACTS="$tag-artefacts" \
    --build-arg VERSION=1.2.3 --build-arg REVISION=0123456789abcdef --build-arg CREATED=2026-01-02T03:04:05Z . >/dev/null
}

# Puts a busybox into DIRECTORY, with the names it is called by.
place_busybox() {
  local directory=$1
  shift
  place "$(command -v busybox)" "$directory" bin/busybox
  for applet in "$@"; do ln -s busybox "$directory/bin/$applet"; done
}

# prometheus_image WORK TAG: Debian's Prometheus laid out like the image of compose.yaml.
prometheus_image() {
  place "$(command -v prometheus)" "$1/prometheus" bin/prometheus
  place_busybox "$1/prometheus" wget
  install -d -m 0777 "$1/prometheus/prometheus"
  import "$1/prometheus" "$2" 'USER 65534' 'WORKDIR /prometheus' 'VOLUME /prometheus' 'ENTRYPOINT ["/bin/prometheus"]'
}

# alertmanager_image WORK TAG: Debian's Alertmanager likewise.
alertmanager_image() {
  place "$(command -v prometheus-alertmanager)" "$1/alertmanager" bin/alertmanager
  place_busybox "$1/alertmanager" wget
  # Debian's reads its templates from there; others have them inside.
  cp --parents /usr/share/prometheus/alertmanager/*.tmpl "$1/alertmanager"
  install -d -m 0777 "$1/alertmanager/alertmanager"
  import "$1/alertmanager" "$2" 'USER 65534' 'WORKDIR /alertmanager' 'VOLUME /alertmanager' 'ENTRYPOINT ["/bin/alertmanager"]'
}

# grafana_image WORK TAG: no Grafana, but what fails as it would when its password, its files or a place to write are missing.
grafana_image() {
  place_busybox "$1/grafana" sh wget
  install -d -m 0777 "$1/grafana/var/lib/grafana"
  install -d "$1/grafana/www/api"
  echo '{"database": "ok"}' >"$1/grafana/www/api/health"
  cat >"$1/grafana/run.sh" <<'SCRIPT'
#!/bin/sh
set -eu
[ -n "$(/bin/busybox cat "$GF_SECURITY_ADMIN_PASSWORD__FILE")" ]
/bin/busybox cat /etc/grafana/provisioning/*/*.yaml "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH" >/dev/null
: >/var/lib/grafana/grafana.db
: >/tmp/socket
/bin/busybox httpd -p 3000 -h /www
trap 'exit 0' TERM
/bin/busybox sleep 3600 &
wait
SCRIPT
  chmod 755 "$1/grafana/run.sh"
  import "$1/grafana" "$2" 'USER 472' 'VOLUME /var/lib/grafana' 'ENTRYPOINT ["/run.sh"]'
}
