#!/bin/sh
# Make .venv from requirements.lock with a Python >= 3.12 found on this machine, and install iptables where it is missing.
# Says what it chose. A second run finds the stamp and does nothing. Usage: scripts/setup.sh [--clients]
set -eu
cd "$(dirname "$0")/.."

. scripts/system-roots.sh

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2; exit 1; }

# A name on PATH is not enough: version managers put shims there that fail when no version is selected.
suits() {
  "$1" -c 'import sys, ssl, venv; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" || die "PYTHON is \"$PYTHON\", which is no Python 3.12 to 3.14 that runs" "unset PYTHON, or name another"
    echo "$PYTHON"
    return
  fi
  for name in python3.13 python3.12 python3.14 python3; do
    if suits "$name"; then command -v "$name"; return; fi
  done
  for version in 3.13 3.12 3.14; do
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$version.*/bin/python; do
      if suits "$candidate"; then echo "$candidate"; return; fi
    done
  done
}

as_root_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
  apt-get update -qq >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need_tool() { # need_tool COMMAND PACKAGE [required|optional]
  if command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; then return; fi
  as_root_install "$2" || say "$1 is missing ($2 can't be installed as this user): what needs it is skipped"
}

wanted=$(cat requirements.lock pyproject.toml scripts/setup.sh | cksum)
if [ "$(cat .venv/.setup 2>/dev/null || true)" != "$wanted" ] || ! .venv/bin/python -c 'import kecs.core' 2>/dev/null; then
  python=$(find_python)
  rm -rf .venv
  if [ -n "$python" ]; then
    say "using $python ($("$python" -c 'import platform; print(platform.python_version())'))"
    "$python" -m venv .venv || { as_root_install python3-venv && "$python" -m venv .venv; }
    .venv/bin/python -m pip install -q --disable-pip-version-check "uv>=0.5"
    uv=.venv/bin/uv
  else
    say "no Python 3.12 to 3.14 here: uv installs one"
    command -v python3 >/dev/null || die "no python3 at all" "install Python 3.12 or later, then run this again"
    python3 -m venv .cache/uv && .cache/uv/bin/python -m pip install -q --disable-pip-version-check "uv>=0.5"
    uv=.cache/uv/bin/uv
    "$uv" venv -q --python 3.13 .venv || die "uv could not install Python 3.13" "install Python 3.12 or later by hand, then run this again"
  fi
  say "installing $(grep -c '==' requirements.lock) locked packages"
  VIRTUAL_ENV="$PWD/.venv" "$uv" pip install -q --require-hashes -r requirements.lock
  VIRTUAL_ENV="$PWD/.venv" "$uv" pip install -q --no-deps --no-build-isolation --editable .
  printf '%s\n' "$wanted" >.venv/.setup
fi
need_tool iptables iptables

if [ "${1:-}" = --clients ]; then
  need_tool curl curl
  need_tool openssl openssl
  need_tool node nodejs
  need_tool npm npm
  need_tool javac default-jdk-headless
  need_tool chromium chromium
  .venv/bin/python tests/helm_lab.py
  if command -v npm >/dev/null 2>&1; then
    lock=tests/clients/js/package-lock.json
    if [ "$(cat tests/clients/js/node_modules/.setup 2>/dev/null || true)" != "$(cksum <$lock)" ]; then
      say "installing the JavaScript SDK for the client tests"
      (cd tests/clients/js && npm ci --silent --no-audit --no-fund)
      cksum <$lock >tests/clients/js/node_modules/.setup
    fi
  fi
fi
