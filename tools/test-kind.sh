#!/usr/bin/env bash
# Installs the chart on a cluster of kind, and replaces every replica twice under load: Prometheus has every answer, and no other. Needs
# Docker, kind, kubectl and Helm, and the image of `make image`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/wait.sh
for program in docker kind kubectl helm; do
  command -v "$program" >/dev/null || tools/skip.sh "$program is not installed"
done
docker image inspect metrics-host:local >/dev/null 2>&1 || { echo "test-kind: run \`make image\` first" >&2; exit 1; }

cluster=metrics-host-$$
work=$(mktemp -d)
cleanup() {
  [ $? = 0 ] || { kubectl get pods --all-namespaces --output wide; kubectl --namespace shop logs --selector app.kubernetes.io/name=metrics-host --tail 50; } >&2 || true
  kind delete cluster --name "$cluster" --quiet
  rm -rf "$work"
}
trap cleanup EXIT
export KUBECONFIG=$work/kubeconfig
kind create cluster --name "$cluster" --wait 180s
kind load docker-image --name "$cluster" metrics-host:local

# Without the operator: a Prometheus that finds pods and relabels them as the PodMonitor does.
prometheus=$(sed -nE 's/^ *image: (prom\/prometheus:.*)/\1/p' compose.yaml)
kubectl create namespace monitoring
kubectl --namespace monitoring create configmap prometheus --from-file deploy/tests/kind/prometheus.yml
sed "s|IMAGE|$prometheus|" deploy/tests/kind/prometheus.yaml | kubectl apply --filename -
kubectl --namespace monitoring rollout status deployment/prometheus --timeout 180s

helm install shop deploy/helm/metrics-host --namespace shop --create-namespace --values deploy/tests/kind/values.yaml --wait --timeout 5m
helm test shop --namespace shop

# The image of Prometheus has a wget.
inside() { kubectl --namespace monitoring exec deployment/prometheus -- "$@"; }
service=http://shop-metrics-host.shop.svc
inside sh -c "answers=0; while [ ! -e /prometheus/stop ]; do wget -q -O /dev/null $service/ && answers=\$((answers + 1)); done; echo \$answers" >"$work/answers" &
load=$!
for _ in 1 2; do
  kubectl --namespace shop rollout restart deployment/shop-metrics-host
  kubectl --namespace shop rollout status deployment/shop-metrics-host --timeout 5m
done
inside touch /prometheus/stop
wait "$load"
# And that of `helm test`.
expected=$(($(cat "$work/answers") + 1))
# Replaced replicas go once their last counts are scraped. The others are scraped every 2 s.
only_two() { [ "$(kubectl --namespace shop get pods --selector app.kubernetes.io/component=app --output name | wc -l)" = 2 ]; }
await 120 "the end of replaced replicas" only_two
sleep 6
query='sum(last_over_time(app_requests_total{endpoint="/",http_status="200"}[30m]))'
counted=$(inside wget -q -O - --post-data "query=$query" http://127.0.0.1:9090/api/v1/query | jq --raw-output '.data.result[0].value[1]')
echo "test-kind: $expected answers, $counted counted"
[ "$counted" = "$expected" ]
