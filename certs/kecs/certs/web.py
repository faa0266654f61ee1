"""Running ASGI applications on several ports in one loop, with one end: what uvicorn leaves to its caller. An edge.

Any pod may connect. So a request has a time within which it must be whole, what surrounds its body has a size, and
connections have a number: without, one client could use up the memory of the process.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, override

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kecs.core.errors import MachineError

GRACE_S: Final = 8
"""Seconds that requests in progress get at the end, and clients to take leave of a TLS connection that was kept."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a client may ask for."""

    request_s: float = 20.0
    """Seconds within which a request has to be whole, from the connection's beginning or its own."""
    head_bytes: int = 1 << 16
    """Of a request beside its body: request line, fields, framing."""
    connections: int = 4000
    """At once, on one port. Of pods that renew together each is here for a tenth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One application on one listening socket; TLS where there is a context."""

    app: Any
    listener: socket.socket
    tls: ssl.SSLContext | None = None
    bounds: Bounds = Bounds()


class _Bounded(HttpToolsProtocol):
    """One connection, with bounds that uvicorn has none of for this parser."""

    bounds = Bounds()
    _late: asyncio.TimerHandle | None = None
    _head = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.abort()
            return
        self._expect()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_no_more()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._late is None:
            self._expect()
        self._head += len(data)
        super().data_received(data)
        if self._head > self.bounds.head_bytes:
            self.transport.abort()

    @override
    def on_body(self, body: bytes) -> None:
        self._head -= len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._head = 0
        self._expect_no_more()
        super().on_message_complete()

    def _expect(self) -> None:
        self._late = self.loop.call_later(self.bounds.request_s, self.transport.abort)

    def _expect_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """A server whose signals are the caller's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: several servers share them."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Listen; raise MachineError naming the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")
    except OSError as error:
        raise MachineError(
            f"port {port} of {host} can't be listened on: {(error.strerror or str(error)).lower()}",
            hint="no other program may use it",
        ) from error


def everywhere() -> str:
    """Return the address that takes both families, where this machine has both."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


async def serve(sites: Sequence[Site], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then let requests in progress finish."""
    servers = [_server(site) for site in sites]
    async with asyncio.TaskGroup() as group:
        for server, site in zip(servers, sites, strict=True):
            group.create_task(server.serve(sockets=[site.listener]))
        await stop.wait()
        for server in servers:
            server.should_exit = True


def _server(site: Site) -> _Server:
    config = uvicorn.Config(
        site.app,
        log_config=None,
        log_level="error",  # that somebody sent what is no HTTP is no news
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        http=type("_Bounded", (_Bounded,), {"bounds": site.bounds}),
    )
    config.load()
    config.ssl = site.tls  # a context of ours: its certificate is replaced while it serves
    return _Server(config)


def stopping(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop
