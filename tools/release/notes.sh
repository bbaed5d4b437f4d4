#!/usr/bin/env bash
# notes.sh TAG IMAGE@DIGEST SPIN_APPLICATION@DIGEST CI_RUN ALERTS: prints the notes of a release. ALERTS is a file with what
# tools/release/alerts.sh said of that digest.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=$1 image=$2 spin_application=$3 ci_run=$4 alerts=$5
version=${tag#v}

# section VERSION: prints what CHANGELOG.md says of it, without its migration notes.
section() {
  awk -v version="$1" '/^## / { on = ($2 == version) } /^### Migration/ { on = 0 } on && !/^## /' CHANGELOG.md
}
migration=$(awk -v version="$version" '/^## / { on = ($2 == version); notes = 0 } on && notes; on && /^### Migration/ { notes = 1 }' CHANGELOG.md)
previous=$(awk '/^## / { print $2 }' CHANGELOG.md | sed -n 2p)

cat <<NOTES
## Changes
$(section "$version")

## What was released

| | |
|---|---|
| image | \`$image\` |
| its tag | \`${image%@*}:$tag\` |
| Spin application | \`$spin_application\` |
| commit | \`$(git rev-parse HEAD)\` |
| CI run of that commit | $ci_run |

Deploy the digest, not the tag. Verify it first:

\`\`\`sh
tools/release/verify.sh $image $tag
\`\`\`

## Alerts exercised on this digest

Each was driven by traffic until it was pending, firing, notified and resolved, with the Prometheus and Alertmanager of \`compose.yaml\`:

\`\`\`text
$(cat "$alerts")
\`\`\`

## Migration

${migration:-Nothing is to be done.}

## Rollback

\`\`\`sh
make rollback IMAGE=<the image and digest in the notes of ${previous:+v}${previous:-the version you come from}>
\`\`\`

or run the workflow *Rollback* with that digest. It verifies the image, starts it, checks it, and brings this one back if the check fails.
NOTES
