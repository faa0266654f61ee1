"""A whole sidecar over loopback: a backend that shows what it got, and clients that come in "redirected"."""

import asyncio
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sidecar_lab import configuration

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import Signer, certificate_pem, issue_intermediate, issue_issuer, issue_root, new_key
from kecs.certs.leaf import Intermediate
from kecs.relay.decide import Address
from kecs.sidecar.service import Sidecar

PATIENCE_S = 30


@dataclass
class Got:
    """A request as the backend saw it."""

    method: str
    path: str
    fields: dict[str, str]
    body: bytes


@contextmanager
def backend(got: list[Got]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            fields = {key.lower(): value for key, value in self.headers.items()}
            got.append(Got(self.command, self.path, fields, self.body(fields)))
            reply = json.dumps({"bytes": len(got[-1].body)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def body(self, fields: dict[str, str]) -> bytes:
            if fields.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(fields.get("content-length", 0)))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815 - http.server's spelling

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Lab:
    """A running sidecar. `destination` is where the next connection "wanted to go"."""

    sidecar: Sidecar
    loop: asyncio.AbstractEventLoop
    port: int
    admin: int
    root: str
    log: Path
    destination: list[Address] = field(default_factory=lambda: [Address("203.0.113.9", 443)])

    def connect(self, host: str = "203.0.113.9", port: int = 443) -> socket.socket:
        self.destination[0] = Address(host, port)
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def tls(self, name: str | None, alpn: tuple[str, ...] = (), *, to: str = "", trust: bool = True) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.root) if trust else ssl.create_default_context()
        if alpn:
            context.set_alpn_protocols(list(alpn))
        context.check_hostname = name is not None
        sock = self.connect(to or "203.0.113.9")
        try:
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def call(self, function: Any, *arguments: Any) -> Any:
        async def on_loop() -> Any:
            return function(*arguments)

        return self.run(on_loop())

    def records(self) -> list[dict[str, Any]]:
        """Return what the log holds; the loop has turned since the last exchange ended."""
        self.call(lambda: self.sidecar.log.close())  # noqa: PLW0108 - looked up on the loop
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def authority() -> tuple[str, Intermediate]:
    now = datetime.now(UTC)
    root = issue_root(now, permitted=SUFFIXES)
    issuer = issue_issuer(root, now)
    key = new_key()
    certificate = issue_intermediate(issuer, key.public_key(), now, subject="sidecar-test")
    signer = Signer(certificate=certificate, key=key)
    return certificate_pem(root.certificate).decode(), Intermediate(signer=signer, above=(issuer.certificate,))


@contextmanager
def laboratory(tmp_path: Path, *, port: int, **changes: object) -> Iterator[Lab]:
    root, intermediate = authority()
    path = tmp_path / "log"
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listener, admin = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = listener.getsockname()[1], admin.getsockname()[1]
    config = configuration(**{"backend_port": port, "profile": "localstack", **changes})

    async def make() -> Sidecar:
        return Sidecar(config, intermediate, log_fd=log)

    sidecar = asyncio.run_coroutine_threadsafe(make(), loop).result(PATIENCE_S)
    lab = Lab(sidecar, loop, *ports, root, path)
    lab.call(sidecar.serve_tcp, listener, lambda _: lab.destination[0])
    lab.call(sidecar.serve_admin, admin)
    try:
        yield lab
    finally:
        lab.call(sidecar.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        os.close(log)
