#!/usr/bin/env bash
# Tests the dashboards without Grafana: their form, and that Prometheus can parse every expression.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/need.sh jq jq
tools/need.sh promtool prometheus

tools/linter.sh check-jsonschema --quiet --schemafile grafana/dashboard.schema.json grafana/dashboards/*.json

# Prints what is wrong with a dashboard.
complaints() {
  jq --raw-output '
    def cells: .gridPos as $g | range($g.x; $g.x + $g.w) as $x | range($g.y; $g.y + $g.h) as $y | "\($x),\($y)";
    def repeated: group_by(.)[] | select(length > 1) | .[0];
    (if .uid != (input_filename | split("/")[-1] | rtrimstr(".json")) then "its uid is not its file name: \(.uid)" else empty end),
    ([.panels[].id] | repeated | "two panels have the id \(.)"),
    ([.panels[].title] | repeated | "two panels have the title \(.)"),
    (.panels[] | select(.gridPos.x + .gridPos.w > 24) | "panel \(.id) is wider than the grid"),
    ([.panels[] | [.id, .gridPos] as $p | cells] | repeated | "panels overlap at \(.)"),
    (.panels[] | .id as $id | [.targets[].refId] | repeated | "panel \($id) has two queries \(.)")' "$1"
}
failed=
for dashboard in grafana/dashboards/*.json; do
  while read -r complaint; do
    echo "test-dashboards: $dashboard: $complaint" >&2
    failed=yes
  done < <(complaints "$dashboard")
done

# Expressions with what Grafana would put in, as rules that promtool checks.
rules=$(mktemp)
trap 'rm -f "$rules"' EXIT
jq --null-input '{groups: [{name: "panels", rules: [
  inputs | .uid as $uid
  | (.panels[] | .id as $id | .targets[] | {name: "\($id)_\(.refId)", expr}), (.annotations.list[] | select(.target) | {name: "annotation", expr: .target.expr})
  | {record: "panel:\($uid | gsub("-"; "_")):\(.name)",
     expr: (.expr | gsub("\\$__rate_interval"; "1m") | gsub("\\$__range"; "1h") | gsub("\\$instance|\\$endpoint"; ".*"))}]}]}' \
  grafana/dashboards/*.json >"$rules"
if grep -F "\$" "$rules" >&2; then
  echo "test-dashboards: expected no other variable than \$__rate_interval, \$__range, \$instance and \$endpoint" >&2
  failed=yes
fi
promtool check rules "$rules" >/dev/null || failed=yes
[ -z "$failed" ] || exit 1
echo "test-dashboards: passed, $(jq '[.groups[].rules[]] | length' "$rules") expressions"
