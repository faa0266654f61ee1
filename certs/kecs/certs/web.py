"""Running ASGI applications on several ports in one loop, with one end: what uvicorn leaves to its caller. An edge."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from kecs.core.errors import MachineError

GRACE_S: Final = 8
"""Seconds that requests in progress get at the end, and clients to take leave of a TLS connection that was kept."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One application on one listening socket; TLS where there is a context."""

    app: Any
    listener: socket.socket
    tls: ssl.SSLContext | None = None


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
        h11_max_incomplete_event_size=1 << 16,
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
