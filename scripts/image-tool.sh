# Which of docker, podman and buildah is used, and what they call the same things. Sourced, with the project's root as
# the working directory. IMAGE_TOOL chooses; else the first that works: docker needs its daemon.
# shellcheck shell=sh

say() { printf 'images: %s\n' "$*"; }
die() { printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2; exit 1; }

works() {
  case $1 in
    docker) docker version >/dev/null 2>&1 ;;
    podman) podman info >/dev/null 2>&1 ;;
    buildah) command -v buildah >/dev/null 2>&1 ;;
    *) die "IMAGE_TOOL is \"$1\"" "one of docker, podman, buildah" ;;
  esac
}

if [ -n "${IMAGE_TOOL:-}" ]; then
  tool=$IMAGE_TOOL
  works "$tool" || die "IMAGE_TOOL is \"$tool\", which does not run here" "start it, or leave IMAGE_TOOL unset"
else
  for tool in docker podman buildah none; do
    [ "$tool" = none ] && die "none of docker, podman and buildah works here" "start docker, or install podman or buildah"
    if works "$tool"; then break; fi
  done
fi

# Inside containers there may be neither cgroups nor overlay file systems to be had: `chroot` and `vfs` work there too.
if [ "$tool" = buildah ]; then export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"; fi

# What a local image is called in a FROM line: podman and buildah put their own registry's name before it.
local_name() {
  case $tool:$1 in
    docker:* | *:*/*) printf '%s\n' "$1" ;;
    *) printf 'localhost/%s\n' "$1" ;;
  esac
}

build() { # build ARGUMENTS: as `docker build` has them
  case $tool in
    docker) DOCKER_BUILDKIT=1 docker build "$@" ;;
    podman) podman build --format docker "$@" ;;
    buildah) buildah build --format docker --layers "$@" ;;
  esac
}

import_root() { # import_root DIRECTORY TAG: a directory as an image of one layer
  case $tool in
    docker | podman) tar -C "$1" -c . | $tool import - "$2" >/dev/null ;;
    buildah)
      container=$(buildah from scratch)
      buildah add -q "$container" "$1" / >/dev/null
      buildah commit -q --format docker "$container" "$2" >/dev/null
      buildah rm "$container" >/dev/null
      ;;
  esac
}

size_of() { # size_of TAG: bytes of an image's layers, uncompressed
  case $tool in
    docker | podman) $tool image inspect --format '{{.Size}}' "$1" ;;
    buildah) buildah images --json "$1" | sed -n 's/.*"size": "\(.*\)".*/\1/p' | head -1 ;;
  esac
}

archive() { # archive TAG FILE: what `docker load`, `ctr images import` and `kind load image-archive` read
  case $tool in
    docker) docker save -o "$2" "$1" ;;
    podman) podman save -q --format docker-archive -o "$2" "$1" ;;
    buildah) buildah push -q "$1" "docker-archive:$2:$1" ;;
  esac
}
