#!/usr/bin/env bash
# promote.sh SOURCE REPOSITORY TAG: gives an image the name REPOSITORY:TAG and prints its digest. SOURCE is a digest in the same
# repository (sha256:…) or an archive (oci-archive:FILE). The bytes stay the same, and so does the digest. A tag that exists is never
# moved; to give it once more to the same digest succeeds.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/need.sh skopeo
fail() { echo "promote: $*" >&2; exit 1; }

source=$1 repository=$2 tag=$3 target=docker://$2:$3
case $source in
  sha256:*) source=docker://$repository@$source ;;
  oci-archive:*) ;;
  *) fail "expected sha256:… or oci-archive:FILE, got \"$source\"" ;;
esac
# digest NAME: prints the digest of the whole image, index and all.
digest() { skopeo inspect --raw "$1" | sha256sum | sed 's/^\([0-9a-f]*\) .*/sha256:\1/'; }
wanted=$(digest "$source")
if answer=$(skopeo inspect --raw "$target" 2>&1 >/dev/null); then
  there=$(digest "$target")
  [ "$there" = "$wanted" ] || fail "$repository:$tag is already $there, and tags are not moved; expected $wanted"
else
  # Only a registry that denies the tag permits the write.
  grep -qiE 'manifest unknown|name unknown|not found' <<<"$answer" || fail "cannot tell whether $repository:$tag exists: $answer"
  skopeo copy --quiet --all --preserve-digests "$source" "$target"
  there=$(digest "$target")
  [ "$there" = "$wanted" ] || fail "$repository:$tag became $there; expected $wanted"
fi
echo "$wanted"
