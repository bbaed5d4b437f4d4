#!/usr/bin/env bash
# verify.sh IMAGE@sha256:DIGEST [TAG]: checks that this project's release.yml built and signed an image, or a Spin application, for the
# version TAG or else for any version, and that a list of its parts is attested. Needs gh (logged in, or GH_TOKEN) and cosign.
# The project is the image's name without its registry, or REPOSITORY=owner/name.
set -euo pipefail
fail() { echo "verify: $*" >&2; exit 1; }

image=$1 tag=${2:-}
[[ $image =~ ^([^/]+)/([^@]+)@sha256:[0-9a-f]{64}$ ]] || fail "expected REGISTRY/NAME@sha256:<64 hexadecimal digits>, got \"$image\""
repository=${REPOSITORY:-${BASH_REMATCH[2]}}
for command in gh cosign; do command -v "$command" >/dev/null || fail "$command is needed, and is not installed"; done

workflow=$repository/.github/workflows/release.yml
identity=https://github.com/$workflow@refs/tags
attested=(gh attestation verify "oci://$image" --repo "$repository" --signer-workflow "$workflow" --deny-self-hosted-runners)
signer=(--certificate-identity-regexp "^${identity//./\\.}/v[0-9]+\\.[0-9]+\\.[0-9]+\$")
if [ -n "$tag" ]; then
  attested+=(--source-ref "refs/tags/$tag")
  signer=(--certificate-identity "$identity/$tag")
fi
"${attested[@]}" >/dev/null
"${attested[@]}" --predicate-type https://cyclonedx.org/bom >/dev/null
cosign verify --certificate-oidc-issuer https://token.actions.githubusercontent.com "${signer[@]}" "$image" >/dev/null
echo "verify: $image: provenance, list of parts and signature are those of $repository${tag:+ $tag}"
