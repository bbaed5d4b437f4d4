#!/usr/bin/env bash
# Looks for secrets in the whole history with gitleaks.
set -euo pipefail
cd "$(dirname "$0")/.."

version=8.30.1
digest=551f6fc83ea457d62a0d98237cbad105af8d557003051f41f3e7ca7b3f2470eb
gitleaks=$(tools/download.sh "https://github.com/gitleaks/gitleaks/releases/download/v$version/gitleaks_${version}_linux_x64.tar.gz" "$digest" gitleaks)
"$gitleaks" git --redact --no-banner --exit-code 1 .
