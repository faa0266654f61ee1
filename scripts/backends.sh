#!/bin/sh
# Install the backends of the matrix that cannot share our packages, each into a virtual environment of its own below
# .cache/backends: their pins of botocore and graphql-core are older than moto's. A second run does nothing.
# Usage: scripts/backends.sh ministack|localstack ...
set -eu
cd "$(dirname "$0")/.."
. scripts/system-roots.sh

for name in "$@"; do
  lock=tests/matrix/$name.lock
  venv=$PWD/.cache/backends/$name
  [ -e "$lock" ] || { printf 'error: there is no %s\n\nhint: ministack, localstack\n' "$lock" >&2; exit 2; }
  wanted=$(cksum <"$lock")
  if [ "$(cat "$venv/.setup" 2>/dev/null || true)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then continue; fi
  printf 'backends: installing %s\n' "$name"
  rm -rf "$venv"
  .venv/bin/python -m venv --without-pip "$venv"
  .venv/bin/python -m uv pip install -q --python "$venv/bin/python" --require-hashes -r "$lock"
  printf '%s\n' "$wanted" >"$venv/.setup"
done
