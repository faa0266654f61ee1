"""Kept connections that die under a request: said again is only what nobody can have seen, or what changes nothing."""

import socket
import threading
from dataclasses import dataclass, field

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_exactly, read_head, server, standing

from kecs.relay.decide import Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PUT = b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n"
CHUNKED = b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
FIRST = b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n"


@dataclass
class Mortal:
    """A backend whose first connection answers one request and ends as the test says; all others live."""

    reads: bool
    """The first connection reads its second request before it ends."""
    seen: list[bytes] = field(default_factory=list)
    leave: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def __call__(self, sock: socket.socket) -> None:
        held = bytearray()
        first = not self.seen
        while request := self.read(sock, held):
            self.seen.append(request)
            if first and len(self.seen) > 1:
                break
            sock.sendall(OK)
            if first and not self.reads:
                assert self.leave.wait(PATIENCE_S)
                break
        sock.close()
        self.left.set()

    @staticmethod
    def read(sock: socket.socket, held: bytearray) -> bytes:
        head = read_head(sock, held)
        if b"chunked" in head:
            while not held.endswith(b"0\r\n\r\n"):
                held += sock.recv(1000)
            body = bytes(held)
            held.clear()
            return head + body
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        return head + read_exactly(sock, length, held)


REQUESTS = [
    pytest.param(FIRST.replace(b"first", b"second"), id="no body"),
    pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", id="POST"),
    pytest.param(PUT % 1_000 + bytes(1_000), id="PUT"),
    pytest.param(PUT % 30_000 + bytes(30_000), id="a longer PUT"),
    pytest.param(CHUNKED, id="chunked"),
]


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_what_meets_a_connection_that_ended_unseen_is_said_again(request_bytes: bytes) -> None:
    backend = Mortal(reads=False)
    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            sock.sendall(FIRST)
            assert read_exactly(sock, len(OK)) == OK
            with standing(lab):
                sock.sendall(request_bytes)
                backend.leave.set()
                assert backend.left.wait(PATIENCE_S)
            assert read_exactly(sock, len(OK)) == OK
        assert [seen.partition(b"\r\n\r\n")[2] for seen in backend.seen[1:]] == [
            request_bytes.partition(b"\r\n\r\n")[2]
        ]
        assert lab.relay.counters["upstream_dialled"] == 2


@pytest.mark.parametrize("request_bytes", REQUESTS[1:])
def test_what_was_seen_is_never_said_again(request_bytes: bytes) -> None:
    """The backend may have done it, and died before it could say so: only the client may try again."""
    backend = Mortal(reads=True)
    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            sock.sendall(FIRST)
            assert read_exactly(sock, len(OK)) == OK
            sock.sendall(request_bytes)
            assert read_head(sock, bytearray()).startswith(b"HTTP/1.1 503 ")
        assert len(backend.seen) == 2
        assert lab.relay.counters["upstream_stale"] == 0


def test_what_was_seen_and_changes_nothing_is_asked_again() -> None:
    backend = Mortal(reads=True)
    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            for _ in range(2):
                sock.sendall(FIRST)
                assert read_exactly(sock, len(OK)) == OK
        assert len(backend.seen) == 3
        assert lab.relay.counters["upstream_stale"] == 1


def test_what_a_backend_says_unasked_is_nobodys_answer() -> None:
    """Servers say 408 to an idle connection before they close it; others say more than they have announced."""
    unasked, said = threading.Event(), threading.Event()

    def backend(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            sock.sendall(OK)
            if not said.is_set():
                assert unasked.wait(PATIENCE_S)
                sock.sendall(OK.replace(b"200 OK", b"408 No"))
                said.set()

    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            sock.sendall(FIRST)
            assert read_exactly(sock, len(OK)) == OK
            with standing(lab):
                sock.sendall(FIRST)
                unasked.set()
                assert said.wait(PATIENCE_S)
            assert read_exactly(sock, len(OK)) == OK
        assert lab.relay.counters["upstream_dialled"] == 2


def test_a_large_body_gets_a_connection_of_its_own_from_the_start() -> None:
    """It is not kept to be said again, so it must not meet a connection that may be dying."""
    backend = Mortal(reads=True)
    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            for length in (0, 1_000_000):
                sock.sendall(PUT % length + bytes(length))
                assert read_exactly(sock, len(OK)) == OK
        assert lab.relay.counters["upstream_dialled"] == 2
