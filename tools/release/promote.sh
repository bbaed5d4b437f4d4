#!/usr/bin/env bash
# promote.sh SOURCE REPOSITORY TAG: gives an image the name REPOSITORY:TAG and prints its digest. SOURCE is a digest in the same
# repository (sha256:…) or an archive (oci-archive:FILE). The bytes stay the same, and so does the digest. A tag that exists is never
# moved: naming what it names already is no error.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/need.sh skopeo skopeo

source=$1 repository=$2 tag=$3
case $source in
  sha256:*) source=docker://$repository@$source ;;
  oci-archive:*) ;;
  *) echo "promote: expected sha256:… or oci-archive:FILE, got \"$source\"" >&2; exit 2 ;;
esac

# digest NAME: prints the digest of what is there, index and all.
digest() {
  skopeo inspect --raw "$1" | sha256sum | sed 's/^\([0-9a-f]*\) .*/sha256:\1/'
}
wanted=$(digest "$source")
target=docker://$repository:$tag
if answer=$(skopeo inspect --raw "$target" 2>&1 >/dev/null); then
  there=$(digest "$target")
  if [ "$there" != "$wanted" ]; then
    echo "promote: $repository:$tag is $there already, and tags are not moved; it was to become $wanted" >&2
    exit 1
  fi
elif grep -qiE 'manifest unknown|name unknown|not found' <<<"$answer"; then
  skopeo copy --quiet --all --preserve-digests "$source" "$target"
  there=$(digest "$target")
  if [ "$there" != "$wanted" ]; then
    echo "promote: $repository:$tag became $there; expected $wanted" >&2
    exit 1
  fi
else
  # Not to know whether it exists is no leave to write it.
  echo "promote: cannot tell whether $repository:$tag exists: $answer" >&2
  exit 1
fi
echo "$wanted"
