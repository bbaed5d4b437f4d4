#!/usr/bin/env bash
# Builds the site of docs/ and alerts/runbooks into target/book. Links that leave these folders lead to the repository, and OWNER/NAME in a
# page stands for it: GITHUB_REPOSITORY, where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${GITHUB_REPOSITORY:-OWNER/NAME}
repository=https://github.com/$name

pages=target/docs/src
rm -rf target/docs target/book
mkdir -p "$pages"
cp --recursive docs/. "$pages"
mv "$pages"/{book.toml,site.css} target/docs
cp --recursive alerts/runbooks "$pages"
# On the metrics port a runbook is a path; a folder of the repository is a tree.
sed -Ei 's,\]\(/runbooks/([A-Za-z0-9]+)\),](\1.md),g' "$pages"/runbooks/*.md
sed -Ei -e 's,\]\(\.\./alerts/runbooks/,](runbooks/,g' \
  -e "s,\]\(\.\./([^)]*)/\),]($repository/tree/main/\1),g" -e "s,\]\(\.\./,]($repository/blob/main/,g" "$pages"/*.md
sed -i "s,OWNER/NAME,$name,g" "$pages"/*.md
# The site has the list of pages at its side.
sed -i '/](SUMMARY\.md)/d' "$pages/README.md"
# The runbooks are chapters below that of the alerts.
for runbook in "$pages"/runbooks/*.md; do
  alert=$(basename "$runbook" .md)
  echo "  - [$alert](runbooks/$alert.md)"
done >target/docs/runbooks
sed -i '/](alerts\.md)/ r target/docs/runbooks' "$pages/SUMMARY.md"
MDBOOK_OUTPUT__HTML__GIT_REPOSITORY_URL=$repository tools/linter.sh mdbook build target/docs
echo "the site is target/book/index.html"
