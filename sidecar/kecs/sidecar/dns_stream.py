"""DNS over TCP on one connection (RFC 7766): AWS names are answered here, the rest is asked of the resolvers."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final

from kecs.sidecar.dns_names import Allocator, is_query, reply_to, server_failure

_PORT: Final = 53
_LENGTH: Final = 2
_ID: Final = 2
_IDLE_S: Final = 10.0


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
    port: int = _PORT,
    timeout_s: float = 5.0,
) -> None:
    """Answer queries on a connected, non-blocking socket until its peer ends or falls silent; close it."""
    loop = asyncio.get_running_loop()
    with sock, contextlib.suppress(OSError, TimeoutError):
        while query := await asyncio.wait_for(_message(loop, sock), _IDLE_S):
            if not is_query(query):
                return
            reply = reply_to(query, allocator, intercepted) or b""
            for server in () if reply else servers():
                with contextlib.suppress(OSError, TimeoutError):
                    reply = await asyncio.wait_for(_ask(loop, server, port, query), timeout_s)
                if reply:
                    break
            reply = reply or server_failure(query)
            await loop.sock_sendall(sock, len(reply).to_bytes(_LENGTH) + reply)
