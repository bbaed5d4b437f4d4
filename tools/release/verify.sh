#!/usr/bin/env bash
# verify.sh IMAGE@sha256:DIGEST [TAG]: checks that an image, or a Spin application, was built and signed by this project's release.yml,
# for the version TAG if it is named, else for any; and that a list of its parts is attested. Needs gh (logged in, or GH_TOKEN) and cosign.
# The project is the image's name without its registry, or REPOSITORY=owner/name.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$1 tag=${2:-}
if ! [[ $image =~ ^([^/]+)/([^@]+)@sha256:[0-9a-f]{64}$ ]]; then
  echo "verify: expected REGISTRY/NAME@sha256:<64 hexadecimal digits>, got \"$image\"" >&2
  exit 2
fi
repository=${REPOSITORY:-${BASH_REMATCH[2]}}
for command in gh cosign; do
  command -v "$command" >/dev/null || { echo "verify: $command is needed, and is not installed" >&2; exit 1; }
done

workflow=$repository/.github/workflows/release.yml
identity=https://github.com/$workflow@refs/tags
attested=(gh attestation verify "oci://$image" --repo "$repository" --signer-workflow "$workflow" --deny-self-hosted-runners)
if [ -n "$tag" ]; then
  attested+=(--source-ref "refs/tags/$tag")
  signer=(--certificate-identity "$identity/$tag")
else
  signer=(--certificate-identity-regexp "^${identity//./\\.}/v[0-9]+\\.[0-9]+\\.[0-9]+\$")
fi
"${attested[@]}" >/dev/null
"${attested[@]}" --predicate-type https://cyclonedx.org/bom >/dev/null
cosign verify --certificate-oidc-issuer https://token.actions.githubusercontent.com "${signer[@]}" "$image" >/dev/null
echo "verify: $image: provenance, list of parts and signature are those of $repository${tag:+ $tag}"
