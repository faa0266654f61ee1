"""DNS over TCP on one connection (RFC 7766): AWS names are answered here, the rest is asked of the resolvers."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from kecs.sidecar.dns_names import Allocator, is_query, reply_to, server_failure

_PORT: Final = 53
_LENGTH: Final = 2
_ID: Final = 2
_IDLE_S: Final = 10.0
_STREAMS_MAX: Final = 256
_PAUSE_S: Final = 0.1


class DnsStreams:
    """Connections that DNS is spoken on, each served on a task of its own, up to a bound; and where they come from."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answering: Callable[[socket.socket], Coroutine[Any, Any, None]],
        *,
        most: int = _STREAMS_MAX,
    ) -> None:
        self._loop = loop
        self._answering = answering
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
        self.counters = {"streams_over_limit": 0}

    def listen(self, listener: socket.socket) -> None:
        """Accept on a listening socket, which is closed at the end."""
        listener.settimeout(0)
        self._listeners.append(listener)
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def serve(self, sock: socket.socket) -> None:
        """Serve a connected, non-blocking socket, and close it."""
        if len(self._tasks) >= self._most:
            self.counters["streams_over_limit"] += 1
            sock.close()
            return
        task = self._loop.create_task(self._answering(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Close listeners and connections."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for task in self._tasks:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # without descriptors the connection stays in the backlog
            self._loop.remove_reader(listener.fileno())
            self._loop.call_later(_PAUSE_S, self._resume, listener)
            return
        sock.settimeout(0)
        self.serve(sock)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)


async def _read(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    """Read exactly this many bytes; fewer when the peer ends."""
    found = b""
    while len(found) < count:
        piece = await loop.sock_recv(sock, count - len(found))
        if not piece:
            break
        found += piece
    return found


async def _message(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """Read a message with its length in front; empty at the end, and when it is cut short."""
    length = int.from_bytes(await _read(loop, sock, _LENGTH))
    message = await _read(loop, sock, length)
    return message if len(message) == length else b""


async def _ask(loop: asyncio.AbstractEventLoop, server: str, port: int, query: bytes) -> bytes:
    """Ask one resolver; raises OSError."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, (server, port))
        await loop.sock_sendall(sock, len(query).to_bytes(_LENGTH) + query)
        reply = await _message(loop, sock)
        return reply if reply[:_ID] == query[:_ID] else b""  # some networks answer other things on this port


async def serve(
    sock: socket.socket,
    allocator: Allocator,
    *,
    intercepted: Callable[[str], bool],
    servers: Callable[[], Sequence[str]],
    search: Callable[[], Sequence[str]] = tuple,
    port: int = _PORT,
    timeout_s: float = 5.0,
) -> None:
    """Answer queries on a connected, non-blocking socket until its peer ends or falls silent; close it."""
    loop = asyncio.get_running_loop()
    with sock, contextlib.suppress(OSError, TimeoutError):
        while query := await asyncio.wait_for(_message(loop, sock), _IDLE_S):
            if not is_query(query):
                return
            reply = reply_to(query, allocator, intercepted, search()) or b""
            for server in () if reply else servers():
                with contextlib.suppress(OSError, TimeoutError):
                    reply = await asyncio.wait_for(_ask(loop, server, port, query), timeout_s)
                if reply:
                    break
            reply = reply or server_failure(query)
            await loop.sock_sendall(sock, len(reply).to_bytes(_LENGTH) + reply)
