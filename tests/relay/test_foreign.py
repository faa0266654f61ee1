"""Backends that speak no HTTP: every call is a 503 at once, whether they hang up or go on listening."""

import socket

import pytest
from relay_lab import NAME, Handler, Lab, Script, read_exactly, read_head, server

from kecs.relay.decide import Upstream
from kecs.relay.relay import RelayConfig

PATIENT = RelayConfig(response_timeout_s=900, body_timeout_s=900, head_timeout_s=900, peek_timeout_s=0.2)


def first_says(banner: bytes, *, answers: bytes = b"") -> Handler:
    """Speak first, as SSH, SMTP and MySQL do; go on with an answer to whatever comes."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(banner)
        while sock.recv(65536) and answers:
            sock.sendall(answers)

    return serve


def answers(said: bytes) -> Handler:
    """Answer whatever comes, and keep the connection open, as Redis does."""

    def serve(sock: socket.socket) -> None:
        while sock.recv(65536):
            sock.sendall(said)

    return serve


def echoes(sock: socket.socket) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def alerts(sock: socket.socket) -> None:
    """Be a TLS server that meets HTTP, and reset what it did not read."""
    sock.recv(100)
    sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("length", [0, 3, 200_000, 3_000_000])
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(first_says(b"SSH-2.0-OpenSSH_9.2\r\n"), id="SSH"),
        pytest.param(first_says(b"220 mail ESMTP\r\n", answers=b"500 what?\r\n"), id="SMTP"),
        pytest.param(first_says(b"\x4a\0\0\0\x0a8.0.33\0"), id="MySQL"),
        pytest.param(answers(b"-ERR unknown command\r\n"), id="Redis"),
        pytest.param(answers(b"HTTP?"), id="what begins alike"),
        pytest.param(echoes, id="echo"),
        pytest.param(alerts, id="TLS"),
    ],
)
def test_every_call_is_answered_also_those_that_follow(backend: Handler, length: int, *, tls: bool) -> None:
    with server(backend) as address:
        told = Script(upstream=Upstream(host=address.host, port=address.port))
        with Lab(told, PATIENT) as lab, lab.connect_tls(NAME) if tls else lab.connect() as sock:
            for _ in range(3):
                sock.sendall(b"PUT / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: %d\r\n\r\n" % length)
                sock.sendall(bytes(length))
                held = bytearray()
                head = read_head(sock, held)
                assert head.startswith(b"HTTP/1.1 503 ")
                said = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                assert read_exactly(sock, said, held).startswith((b"upstream_invalid_response", b"upstream_reset"))
