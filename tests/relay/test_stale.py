"""Kept connections that die under a request: what can be said again is, what can't never meets one."""

import socket

import pytest
from relay_lab import Lab, Script, read_exactly, read_head, server

from kecs.relay.decide import Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def once(sock: socket.socket) -> None:
    """Serve one request; take a part of the second one's body, and be gone."""
    held = bytearray()
    for served in (False, True):
        head = read_head(sock, held)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if served:
            read_exactly(sock, min(200000, length), held)
            return
        read_exactly(sock, length, held)
        sock.sendall(OK)


@pytest.mark.parametrize(
    ("size", "dialled", "said_again"),
    [
        pytest.param(1_000, 3, 2, id="small: said again on a fresh connection"),
        pytest.param(65_536, 3, 2, id="as much as is kept"),
        pytest.param(1_000_000, 3, 0, id="large: on a connection of its own from the start"),
    ],
)
def test_a_kept_connection_that_dies_during_a_body(size: int, dialled: int, said_again: int) -> None:
    with server(once) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        for number in range(3):
            with lab.connect() as sock:
                length = size if number else 0
                sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % length + bytes(length))
                assert read_exactly(sock, len(OK)) == OK
        assert lab.relay.counters["upstream_dialled"] == dialled
        assert lab.relay.counters["upstream_stale"] == said_again
