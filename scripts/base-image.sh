#!/bin/sh
# Make a base image from Debian's packages and a Python of this machine, for where no registry of images is reachable:
#
#   scripts/base-image.sh kecs-base:local            # the Python of .venv
#   PYTHON_PREFIX=/opt/python3.13 scripts/base-image.sh kecs-base:local
#   make images BASE_IMAGE=localhost/kecs-base:local
#
# Needs root, debootstrap, and docker, podman or buildah. SUITE names Debian's release; the Python must have been linked
# against that release's libraries, which is checked by importing its modules at the end.
set -eu
cd "$(dirname "$0")/.."
. scripts/image-tool.sh

tag=${1:?usage: scripts/base-image.sh TAG}
suite=${SUITE:-bookworm}
prefix=${PYTHON_PREFIX:-$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')}
version=$("$prefix/bin/python3" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
library=libssl3
case $suite in trixie | forky | sid) library=libssl3t64 ;; esac
packages=ca-certificates,$library,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libuuid1,netbase,tzdata,zlib1g
[ "$(id -u)" = 0 ] || die "debootstrap needs root" "run this as root, or name an image that exists as BASE_IMAGE"
command -v debootstrap >/dev/null || die "debootstrap is missing" "apt-get install debootstrap"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
say "Debian $suite and Python $version of $prefix, by $tool"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; die "debootstrap failed" "its log is $root.log"; }
rm -f "$root.log"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*

mkdir -p "$root/usr/local/bin" "$root/usr/local/lib"
cp -a "$prefix"/bin/python3 "$prefix/bin/python$version" "$root/usr/local/bin/"
[ -e "$root/usr/local/bin/python" ] || ln -s python3 "$root/usr/local/bin/python"
cp -a "$prefix"/lib/libpython"$version".so* "$root/usr/local/lib/" 2>/dev/null || true
tar -C "$prefix/lib" -c --exclude=__pycache__ --exclude='site-packages/*' --exclude=test --exclude='config-*' \
  --exclude=idlelib --exclude=tkinter --exclude=turtledemo --exclude='_tkinter*' "python$version" | tar -C "$root/usr/local/lib" -x
chroot "$root" ldconfig
chroot "$root" /usr/local/bin/python3 -m ensurepip >/dev/null
chroot "$root" /usr/local/bin/python3 -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib' ||
  die "the Python of $prefix does not run on Debian $suite" "set SUITE to the release it was built on"

import_root "$root" "$tag"
say "made $tag; now: make images BASE_IMAGE=$(local_name "$tag")"
