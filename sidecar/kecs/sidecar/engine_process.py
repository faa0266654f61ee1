"""The engine's process: mitmproxy between a listening socket and the relay, and nowhere else.

It is told what it needs on its standard input: a line of settings first, then a line for each new intermediate. When
that pipe ends, so does the process. It is the only module that imports mitmproxy, and it decides nothing: requests go
back to the relay with their Host, marked with the run's secret.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import tornado.httpserver
import tornado.ioloop
import tornado.netutil
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import addons, certs, options
from mitmproxy.addons.command_history import CommandHistory
from mitmproxy.addons.onboarding import Onboarding
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.mode_servers import AsyncioServerInstance
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.web.master import WebMaster

from kecs.certs.leaf import Intermediate
from kecs.relay.contexts import covering
from kecs.sidecar.routes import ENGINE_FIELD

_LOOPBACK: Final = "127.0.0.1"
_SHOWN_MAX: Final = 1 << 20
"""Bodies up to this size are kept to be looked at; longer ones, and those of unknown length, are streamed."""
_RENEW_BEFORE_S: Final = 600
_KEPT: Final = 512
_HAS_BODY: Final = "kecs_has_body"


class Leaves:
    """Leaves by SNI. mitmproxy's own store would write an authority to disk, and make RSA keys."""

    dhparams: Any = None
    """TLS 1.2 clients without elliptic curves don't exist among AWS's SDKs."""

    def __init__(self, chain: bytes, key: bytes) -> None:
        self._held: dict[tuple[str, ...], tuple[certs.CertStoreEntry, datetime]] = {}
        self.renew(chain, key)

    def renew(self, chain: bytes, key: bytes) -> None:
        """Sign with another intermediate from now on."""
        self._intermediate = Intermediate.from_pem(chain, key)
        # OpenSSL completes chains from a file. Its descriptor is never closed: contexts are kept by path.
        descriptor = os.memfd_create("chain", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(chain)
        self._chain_file = Path(f"/proc/self/fd/{descriptor}")
        self._held.clear()

    def entry(self, name: str) -> certs.CertStoreEntry:
        """Return certificate and key for a server name."""
        names, now = covering(name), datetime.now(UTC)
        held = self._held.get(names)
        if held is None or (held[1] - now).total_seconds() < _RENEW_BEFORE_S:
            chain, key, not_after = self._intermediate.mint(names, now)
            leaf, *above = x509.load_pem_x509_certificates(chain)
            entry = certs.CertStoreEntry(
                cert=certs.Cert(leaf),
                privatekey=load_pem_private_key(key, None),
                chain_file=self._chain_file,
                chain_certs=[certs.Cert(one) for one in above],
            )
            if len(self._held) >= _KEPT:
                self._held.clear()
            held = self._held[names] = (entry, not_after)
        return held[0]


class Tls(TlsConfig):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmproxy's TLS with our leaves."""

    def __init__(self, leaves: Leaves) -> None:
        super().__init__()
        self.certstore = leaves

    def configure(self, updated: set[str]) -> None:
        """Take options but those of the certificate store."""
        super().configure(updated - {"certs", "confdir", "key_size", "cert_passphrase"})

    def running(self) -> None:
        """Load no store: the original does so once more here."""

    def get_cert(self, conn_context: Any) -> certs.CertStoreEntry:
        """Return a leaf of ours."""
        return self.certstore.entry(conn_context.client.sni or "")

    async def request(self, flow: HTTPFlow) -> None:
        """Serve no revocation list: that is the original's use of this hook."""

    def tls_start_server(self, tls_start: TlsData) -> None:
        """Never speak TLS to a server: the only one is ours, and plain."""
        tls_start.conn.error = "the engine speaks to the relay only"


@dataclass(frozen=True, slots=True)
class WayBack:
    """What makes every request go to the relay and nowhere else."""

    port: int
    secret: str
    inspect: bool

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Mark a request and keep its name, before anything is sent."""
        request = flow.request
        has_body = getattr(request, _HAS_BODY, False)
        request.headers["Host"] = request.authority or request.host_header or ""
        request.authority = ""
        request.headers[ENGINE_FIELD.decode()] = self.secret
        known = request.headers.get("content-length", "")
        if has_body and not known and "transfer-encoding" not in request.headers:
            # HTTP/2 bodies need no length, HTTP/1.1 bodies do: without this they would be taken for the next request.
            request.headers["Transfer-Encoding"] = "chunked"
        request.stream = has_body and not self._shown(known)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream what nobody looks at."""
        if flow.response is not None:
            flow.response.stream = not self._shown(flow.response.headers.get("content-length", ""))

    def response(self, flow: HTTPFlow) -> None:
        """Show what the client asked, not the way it took; the secret is nobody's to read."""
        request = flow.request
        request.headers.pop(ENGINE_FIELD.decode(), None)
        name = (request.host_header or "").partition(":")[0]
        if self.inspect and name:
            request.scheme = "https" if flow.client_conn.tls else "http"
            request.port = 443 if flow.client_conn.tls else 80
            request.host = name

    def _shown(self, length: str) -> bool:
        return self.inspect and length.isdecimal() and int(length) <= _SHOWN_MAX

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Fail closed: whatever an option or an addon may have changed, this is the only server."""
        if data.server.address is None or tuple(data.server.address[:2]) != (_LOOPBACK, self.port):
            data.server.error = "the engine connects to the relay only"


def _note_bodies() -> None:
    """Remember whether a request has a body: hooks are not told, and the fields of HTTP/2 don't say."""
    original = HttpStream.state_wait_for_request_headers

    def state_wait_for_request_headers(self: Any, event: Any) -> Generator[Any, Any, None]:
        setattr(event.request, _HAS_BODY, not event.end_stream)
        yield from original(self, event)

    HttpStream.state_wait_for_request_headers = state_wait_for_request_headers


def _listen_on(descriptor: int) -> None:
    """Have the proxy accept on a socket that listens already."""

    async def listen(self: Any, host: str, port: int) -> list[asyncio.Server]:  # noqa: ARG001 - the original's signature
        return [await asyncio.start_server(self.handle_stream, sock=socket.socket(fileno=descriptor))]

    AsyncioServerInstance.listen = listen


def _use_addons(leaves: Leaves) -> None:
    """Take mitmproxy's addons without those that write files or serve its own pages, and with our TLS."""
    original = addons.default_addons

    def default_addons() -> list[Any]:
        return [
            Tls(leaves) if isinstance(addon, TlsConfig) else addon
            for addon in original()
            if not isinstance(addon, Onboarding | CommandHistory)
        ]

    addons.default_addons = default_addons


class Inspector(WebMaster):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmweb on a port of the kernel's choice, whose URL is said on standard output."""

    async def running(self) -> None:
        """Serve the pages, then say where."""
        tornado.ioloop.IOLoop.current()
        sockets = tornado.netutil.bind_sockets(0, _LOOPBACK)
        self.options.update(web_port=sockets[0].getsockname()[1])
        tornado.httpserver.HTTPServer(self.app).add_sockets(sockets)
        sys.stdout.write(json.dumps({"event": "inspect", "url": self.web_url}) + "\n")
        sys.stdout.flush()
        await super(WebMaster, self).running()


def _follow(source: IO[str], loop: asyncio.AbstractEventLoop, leaves: Leaves) -> None:
    """Take new intermediates as they come; end with the sidecar."""
    for line in source:
        facts = json.loads(line)
        loop.call_soon_threadsafe(leaves.renew, facts["chain"].encode(), facts["key"].encode())
    os._exit(0)  # connections have no other end left either


async def _serve(settings: dict[str, Any]) -> None:
    leaves = Leaves(settings["chain"].encode(), settings["key"].encode())
    _note_bodies()
    _listen_on(settings["front"])
    _use_addons(leaves)
    port = settings["way_back"]
    chosen = options.Options(
        mode=[f"reverse:http://{_LOOPBACK}:{port}@{_LOOPBACK}:1"], confdir="/nonexistent", http3=False
    )
    if settings["inspect"]:
        master: Any = Inspector(chosen, with_termlog=False)
        chosen.update(web_open_browser=False, web_host=_LOOPBACK)
    else:
        master = DumpMaster(chosen, with_termlog=False, with_dumper=False)
    chosen.update(keep_host_header=True, connection_strategy="lazy", showhost=True)
    master.addons.add(WayBack(port=port, secret=settings["secret"], inspect=settings["inspect"]))
    loop = asyncio.get_running_loop()
    threading.Thread(target=_follow, args=(sys.stdin, loop, leaves), daemon=True).start()
    await master.run()


def main() -> None:
    """Run until standard input ends."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="engine: %(message)s")
    asyncio.run(_serve(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
