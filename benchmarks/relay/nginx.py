"""nginx' configurations: the peer in its two forms, and the backend of all arms. Pure."""

from pathlib import Path
from typing import Final

from benchmarks.relay.layout import BLOBS, FOREIGN_ADDRESS, SMALL, STUB, Backend
from benchmarks.relay.material import Material
from kecs.core.names import RELAY_PORT

_MAIN: Final = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log stderr crit;
{modules}events {{ worker_connections 8192; }}
"""
_HTTP: Final = """\
http {{
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  tcp_nodelay on;
{content}}}
"""
_PROXY: Final = """\
  map $host $aws_service {{ ~^(?:.+\\.)?(?<s>[a-z0-9-]+)\\.[a-z0-9-]+\\.amazonaws\\.com$ $s; }}
  map $host $aws_region {{ ~\\.(?<r>[a-z0-9-]+)\\.amazonaws\\.com$ $r; }}
  log_format call escape=json '{{"time":"$time_iso8601","event":"call","service":"$aws_service",'
    '"operation":"$request_method","region":"$aws_region","status":$status,"duration_ms":$request_time,'
    '"bytes_in":$request_length,"bytes_out":$body_bytes_sent,"upstream":"$upstream_addr",'
    '"request_id":"$upstream_http_x_amz_request_id","host":"$host","method":"$request_method",'
    '"verdict":"intercept","reason":""}}';
  access_log /dev/stdout call buffer=4k flush=50ms;
  upstream backend {{ server {host}:{port}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 3600s; }}
  server {{
    listen {listen};
    ssl_certificate {leaf};
    ssl_certificate_key {leaf_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:10m;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    proxy_request_buffering off;
    proxy_buffer_size 16k;
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 128k;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    location / {{ proxy_pass http://backend; }}
  }}
"""
_SPLIT: Final = """\
stream {{
  map $ssl_preread_server_name $to {{
    ~\\.amazonaws\\.com$ unix:{directory}/tls.sock;
    default {foreign}:443;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    ssl_preread on;
    proxy_buffer_size 64k;
    proxy_pass $to;
  }}
}}
"""
_BACKEND: Final = """\
  access_log off;
  sendfile on;
  default_type application/octet-stream;
  server {{
    listen {port} backlog=4096;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    add_header x-amz-request-id 4442587FB7D0A2F9;
    add_header x-amz-id-2 eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran;
    add_header ETag '"fba9dede5f27731c9771645a39863328"';
    location / {{ return 200 "{small}"; }}
    location ~ /blob- {{ root {directory}; rewrite /(blob-[0-9]+)$ /$1 break; }}
    location ~ /sink {{ root {directory}; rewrite /(sink[^/]*)$ /$1 break; dav_methods PUT; }}
  }}
  server {{
    listen unix:{directory}/status.sock;
    location / {{ stub_status; }}
  }}
  server {{
    listen {foreign}:443 ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:10m;
    location / {{ return 200 "{small}"; }}
    location ~ /blob- {{ root {directory}; }}
  }}
"""


def split(directory: Path, material: Material, backend: Backend, *, module: Path) -> str:
    """Return the reference: the stream module looks at the name; what is AWS goes to TLS termination next door."""
    stream = _SPLIT.format(directory=directory, foreign=FOREIGN_ADDRESS, port=RELAY_PORT)
    http = _proxy(directory, material, backend, listen=f"unix:{directory}/tls.sock ssl backlog=4096")
    return _main(directory, module) + stream + http


def plain(directory: Path, material: Material, backend: Backend) -> str:
    """Return TLS termination of all there is: it could stand before AWS only."""
    listen = f"127.0.0.1:{RELAY_PORT} ssl backlog=4096"
    return _main(directory) + _proxy(directory, material, backend, listen=listen)


def world(directory: Path, material: Material) -> str:
    """Return the backend, and a server that is not AWS."""
    content = _BACKEND.format(
        port=STUB.port,
        small="x" * SMALL,
        directory=directory,
        foreign=FOREIGN_ADDRESS,
        certificate=material.foreign,
        key=material.foreign_key,
    )
    return _main(directory) + _HTTP.format(directory=directory, content=content)


def provide(directory: Path) -> None:
    """Make what the backend serves: holes, which cost it nothing to read."""
    for name, size in BLOBS.items():
        with (directory / f"blob-{name}").open("wb") as file:
            file.truncate(size)


def _main(directory: Path, module: Path | None = None) -> str:
    modules = "" if module is None else f"load_module {module};\n"
    return _MAIN.format(directory=directory, modules=modules)


def _proxy(directory: Path, material: Material, backend: Backend, *, listen: str) -> str:
    content = _PROXY.format(
        listen=listen, host=backend.host, port=backend.port, leaf=material.leaf, leaf_key=material.leaf_key
    )
    return _HTTP.format(directory=directory, content=content)
