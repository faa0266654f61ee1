"""Our servers' bounds, against clients that send too little, too much, or come in too great a number."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import pytest

from kecs.certs.web import Bounds, Site, listen, serve

OK = (200, b"0")


async def echo(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI's
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(length).encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(bounds: Bounds) -> Iterator[int]:
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    listener = listen("127.0.0.1", 0)
    site = Site(app=echo, listener=listener, bounds=bounds)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve([site], stop),))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as found:
        yield found


def said(sock: socket.socket) -> bytes:
    """Return what comes next; nothing when the connection is over."""
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def answered(sock: socket.socket, body: bytes = b"") -> tuple[int, bytes]:
    """Ask; return status and body, or nothing when the connection is over."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with contextlib.closing(HTTPResponse(sock)) as response:
        try:
            response.begin()
        except ConnectionError:
            return 0, b""
        return response.status, response.read()


@pytest.mark.parametrize("begun", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_request_that_is_not_whole_in_time(begun: bytes) -> None:
    with served(Bounds(request_s=2)) as port, client(port) as slow:
        slow.sendall(begun)
        assert said(slow) == b""
        with client(port) as other:
            assert answered(other) == OK


def test_a_kept_connection_may_rest_longer_than_a_request_may_take() -> None:
    with served(Bounds(request_s=2)) as port, client(port) as kept, client(port) as silent:
        assert answered(kept) == OK
        assert said(silent) == b"", "by now the time of a request has passed for both"
        assert answered(kept) == OK


def test_a_head_without_end() -> None:
    with served(Bounds(head_bytes=4096)) as port, client(port) as endless:
        with contextlib.suppress(ConnectionError):
            endless.sendall(b"GET / HTTP/1.1\r\n" + b"a: %b\r\n" % (b"b" * 500) * 20)
        assert said(endless) == b""


def test_a_body_has_bounds_of_its_own() -> None:
    with served(Bounds(head_bytes=4096)) as port, client(port) as kept:
        for _ in range(3):
            assert answered(kept, b"x" * 100_000) == (200, b"100000")


def test_connections_have_a_number() -> None:
    with served(Bounds(connections=2)) as port, client(port) as first, client(port) as second:
        assert answered(first) == OK
        assert answered(second) == OK
        with client(port) as third:
            assert answered(third) == (0, b"")
        assert answered(first) == OK
