#!/bin/sh
# What the Dockerfile's builder stages do. Packages come in the versions and with the hashes of requirements.lock, the
# project from its wheel; /run/secrets/roots, where it is given, are the roots of a company's proxy.
#
#   image-packages.sh uv                        # uv itself, by the base's pip
#   image-packages.sh venv DIRECTORY [NAME…]    # the project and these packages; without names all that it needs
#   image-packages.sh part DIRECTORY PATH…      # these files of the project alone
set -eu

if [ -s /run/secrets/roots ]; then
  export PIP_CERT=/run/secrets/roots SSL_CERT_FILE=/run/secrets/roots
fi
act=$1
shift

case $act in
  uv)
    awk '/^[a-z]/ { inside = /^uv==/ } inside' requirements.lock >uv.lock
    exec python3 -m pip install -q --no-cache-dir --no-deps --require-hashes --root-user-action ignore -r uv.lock
    ;;
  venv)
    directory=$1
    shift
    uv venv -q --no-project "$directory"
    export VIRTUAL_ENV="$directory"
    if [ $# = 0 ]; then
      uv pip install -q --compile-bytecode -c requirements.lock kecs-*.whl
    else
      uv pip install -q --compile-bytecode -c requirements.lock "$@"
      uv pip install -q --compile-bytecode --no-deps kecs-*.whl
    fi
    ;;
  part)
    directory=$1
    shift
    mkdir -p "$directory" whole
    python3 -m zipfile -e kecs-*.whl whole
    (cd whole && tar -c "$@") | tar -C "$directory" -x
    python3 -m compileall -q "$directory"
    ;;
  *)
    echo "usage: image-packages.sh uv | venv DIRECTORY [NAME…] | part DIRECTORY PATH…" >&2
    exit 2
    ;;
esac
