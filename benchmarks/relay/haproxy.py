"""haproxy's configuration: it looks at the name, and ends TLS for what is AWS. Pure."""

from pathlib import Path
from typing import Final

from benchmarks.relay.layout import FOREIGN_ADDRESS, Backend
from benchmarks.relay.material import Material
from kecs.core.names import RELAY_PORT

_CONFIGURATION: Final = """\
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
  tune.bufsize 65536
defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend split
  mode tcp
  bind 127.0.0.1:{port} backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  use_backend tls if {{ req.ssl_sni -m end .amazonaws.com }}
  default_backend world
backend tls
  mode tcp
  server tls unix@{directory}/tls.sock
backend world
  mode tcp
  server world {foreign}:443
frontend calls
  mode http
  bind unix@{directory}/tls.sock ssl crt {pair} alpn http/1.1
  log global
  log-format '{{"time":"%Tl","event":"call","service":"%[capture.req.hdr(0),field(-4,.),json]","operation":"%HM",\
"region":"%[capture.req.hdr(0),field(-3,.),json]","status":%ST,"duration_ms":%Ta,"bytes_in":%U,"bytes_out":%B,\
"upstream":"%si:%sp","request_id":"%[capture.res.hdr(0),json]","host":"%[capture.req.hdr(0),json]","method":"%HM",\
"verdict":"intercept","reason":"%ts"}}'
  capture request header Host len 128
  capture response header x-amz-request-id len 64
  default_backend emulator
backend emulator
  mode http
  http-reuse always
  server emulator {host}:{backend}
"""


def text(directory: Path, material: Material, backend: Backend) -> str:
    """Return the whole file."""
    return _CONFIGURATION.format(
        port=RELAY_PORT,
        directory=directory,
        foreign=FOREIGN_ADDRESS,
        pair=material.pair,
        host=backend.host,
        backend=backend.port,
    )
