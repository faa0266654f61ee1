#!/bin/sh
# Build the images of the Dockerfile, with docker, podman or buildah. Usage: scripts/images.sh [TARGET…]
#
#   IMAGE_PREFIX=kecs-          before each target's name; may hold a registry
#   TAG=0.1.0                   the version of pyproject.toml when unset
#   BASE_IMAGE=…                a base with Python 3.12 or later in /usr/local; a local image will do
#   BUILD_ROOTS=FILE            roots of a proxy between this machine and the package registries; not kept in any layer
#   ARCHIVES=DIRECTORY          also write each image as DIRECTORY/kecs-TARGET.tar (kind load image-archive, ctr images import)
#   IMAGE_TOOL=buildah          instead of the first of the three that works
set -eu
cd "$(dirname "$0")/.."
. scripts/image-tool.sh

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
prefix=${IMAGE_PREFIX:-kecs-}
tag=${TAG:-$version}
[ $# -gt 0 ] || set -- init sidecar injector certs emulator controlplane gateway cli

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/scripts" "$context/dist"
cp requirements.lock "$context/"
cp scripts/image-packages.sh "$context/scripts/"
.venv/bin/python -m uv build -q --wheel --no-build-isolation --out-dir "$context/dist" .

options="--build-arg VERSION=$version --build-arg REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
[ -z "${BASE_IMAGE:-}" ] || options="$options --build-arg BASE_IMAGE=$BASE_IMAGE"
[ -z "${BUILD_ROOTS:-}" ] || options="$options --secret id=roots,src=$BUILD_ROOTS"

for target in "$@"; do
  image=$prefix$target:$tag
  say "$image, by $tool"
  # shellcheck disable=SC2086 # options are words
  build -q $options --target "$target" -t "$image" -f Dockerfile "$context" >/dev/null
  [ -z "${ARCHIVES:-}" ] || { mkdir -p "$ARCHIVES"; rm -f "$ARCHIVES/kecs-$target.tar"; archive "$image" "$ARCHIVES/kecs-$target.tar"; }
  say "$image $(size_of "$image")"
done
