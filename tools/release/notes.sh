#!/usr/bin/env bash
# notes.sh TAG IMAGE@DIGEST SPIN_APPLICATION@DIGEST CI_RUN ALERTS: prints the notes of a release. The file ALERTS holds the output of
# tools/release/alerts.sh for that digest. METRICS_HOST_GATEWAY_URL and METRICS_HOST_GATEWAY_DIGEST name the gateway; the plugin is beside it.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=$1 image=$2 spin_application=$3 ci_run=$4 alerts=$5

# CHANGELOG.md about this version: the changes, then how to migrate.
section=$(awk -v version="${tag#v}" '/^## / { on = ($2 == version); next } on' CHANGELOG.md)
migration=$(sed '1,/^### Migration/d' <<<"$section")
previous=$(awk '/^## / { print "v" $2 }' CHANGELOG.md | sed -n 2p)
cat <<NOTES
## Changes
$(sed '/^### Migration/,$d' <<<"$section")

## Artefacts

| | |
|---|---|
| image | \`$image\` |
| its tag | \`${image%@*}:$tag\` |
| Spin application | \`$spin_application\` |
| Spin plugin | \`spin plugins install --url ${METRICS_HOST_GATEWAY_URL%/*}/metrics.json\` |
| Helm chart | \`${METRICS_HOST_GATEWAY_URL%/*}/metrics-host-${tag#v}.tgz\` |
| gateway component | \`source = { url = "$METRICS_HOST_GATEWAY_URL", digest = "$METRICS_HOST_GATEWAY_DIGEST" }\` |
| commit | \`$(git rev-parse HEAD)\` |
| CI run of that commit | $ci_run |

Deploy the digest, not the tag. Verify it first: \`tools/release/verify.sh $image $tag\`

## Alerts exercised on this digest

Traffic drove each of them to pending, firing, notified and resolved, with the Prometheus and Alertmanager of \`compose.yaml\`:

\`\`\`text
$(cat "$alerts")
\`\`\`

## Migration

${migration:-Nothing to do.}

## Rollback

\`make rollback IMAGE=<the image and digest in the notes of ${previous:-the version you come from}>\`, or the workflow *Rollback* with that
digest. It verifies the image, starts it, checks it, and brings this one back if the check fails.
NOTES
