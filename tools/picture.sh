#!/usr/bin/env bash
# Takes the picture of the README, docs/status.png: the items service under 16 minutes of traffic with a few faults, beside Prometheus and
# Alertmanager, as Chromium shows its status page. Everything listens on its usual port. HOST=FILE names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh chromium pngquant prometheus prometheus-alertmanager
# shellcheck source=tools/wait.sh
. tools/wait.sh
# shellcheck source=tools/scratch.sh
. tools/scratch.sh

SPIN_VARIABLE_FAULT_INJECTION=on METRICS_HOST_OTLP_LISTEN=off "${HOST:-target/release/metrics-host}" serve --state-dir "$work/state" >"$work/host.log" 2>&1 &
pids+=($!)
await 120 "metrics-host is ready" answers http://127.0.0.1:9464/-/ready
prometheus-alertmanager --config.file=alerts/alertmanager.yml --storage.path="$work/alertmanager" --cluster.listen-address= >"$work/alertmanager.log" 2>&1 &
pids+=($!)
prometheus --config.file=alerts/prometheus.yml --storage.tsdb.path="$work/prometheus" >"$work/prometheus.log" 2>&1 &
pids+=($!)

# A wave of requests, with many errors in the fifth minute and a panic in the ninth.
timeout 1200 python3 - "${PICTURE_SECONDS:-960}" <<'PYTHON'
import http.client, json, math, random, sys, time

length, start = float(sys.argv[1]), time.monotonic()
random.seed(1)
panicked = False
while (now := time.monotonic() - start) < length:
    minute = now / length * 16
    fault = {"x-fault": "error"} if random.random() < (0.15 if 4 < minute < 6 else 0.004) else {}
    if minute > 8 and not panicked:
        fault, panicked = {"x-fault": "panic"}, True
    method, path, body = random.choices(
        [("GET", "/items", None), ("GET", f"/items/{random.randint(1, 40)}", None), ("POST", "/items", json.dumps({"name": "demo"})),
         ("GET", "/", None), ("GET", "/favicon.ico", None)],
        [40, 30, 22, 6, 2])[0]
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
        connection.request(method, path, body, {"content-type": "application/json", **fault})
        connection.getresponse().read()
        connection.close()
    except OSError:
        pass
    time.sleep(random.expovariate(13 + 6 * math.sin(minute * 0.8)))
PYTHON

chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/chromium" --virtual-time-budget=5000 \
  --window-size="1200,${PICTURE_HEIGHT:-1292}" --screenshot="$work/status.png" http://127.0.0.1:9464/ >"$work/chromium.log" 2>&1
pngquant --force --strip --output docs/status.png 128 "$work/status.png"
ls -l docs/status.png
