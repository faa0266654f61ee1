"""Answers below 64 KB are told when they are whole: one that is not, or says too much, is an error and never a part."""

import contextlib
import socket
import struct
import threading

import pytest
from relay_lab import NAME, PATIENCE_S, Handler, Lab, Script, read_exactly, read_head, server

from kecs.aws.head import Answer, ResponseHead
from kecs.relay.config import RelayConfig
from kecs.relay.decide import Address, Exchange, Gather, Upstream

HOST = b"Host: s3.us-east-1.amazonaws.com\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
PATIENT = RelayConfig(peek_timeout_s=0.2, response_timeout_s=900, first_byte_timeout_s=900)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def first(said: bytes, *, stays: bool = False) -> Handler:
    """Answer the first request of all like this and end the connection, unless it stays; all others well."""
    left = [said]
    lock = threading.Lock()

    def serve(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            with lock:
                bad = left.pop() if left else b""
            sock.sendall(bad or OK)
            if bad and not stays:
                return
            if bad:
                sock.recv(1)

    return serve


def answered(sock: socket.socket) -> tuple[bytes, bytes]:
    """Return the status line of the next answer, and its body."""
    held = bytearray()
    head = read_head(sock, held)
    length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    return head.partition(b"\r\n")[0], read_exactly(sock, length, held)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(TEN, b"upstream_reset", id="nothing of the body"),
        pytest.param(TEN + b"abc", b"upstream_reset", id="a part of the body"),
        pytest.param(TEN + b"0123456789x", b"upstream_invalid_response", id="a byte more"),
        pytest.param(TEN + b"0123456789" + OK, b"upstream_invalid_response", id="a second answer"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nbody", b"upstream_invalid_response", id="a body of no length"
        ),
    ],
)
def test_a_length_that_is_a_lie_is_an_error_and_the_connection_goes_on(
    said: bytes, reason: bytes, *, tls: bool
) -> None:
    with server(first(said)) as address, Lab(script(address), PATIENT) as lab:
        with lab.connect_tls(NAME) if tls else lab.connect() as sock:
            sock.sendall(GET)
            line, body = answered(sock)
            assert line == b"HTTP/1.1 503 Service Unavailable"
            assert body.startswith(reason)
            for _ in range(2):
                sock.sendall(GET)
                assert answered(sock) == (b"HTTP/1.1 200 OK", b"ok")
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == [reason.decode(), "", ""])
        assert [one.response_bytes for one in lab.script.exchanges][1:] == [2, 2]


def test_an_empty_line_after_an_answer_is_no_lie() -> None:
    with server(first(OK + b"\r\n")) as address, Lab(script(address), PATIENT) as lab, lab.connect() as sock:
        for _ in range(2):
            sock.sendall(GET)
            assert answered(sock) == (b"HTTP/1.1 200 OK", b"ok")
        assert lab.relay.counters["upstream_dialled"] == 2


def test_an_answer_that_stops_is_given_up_in_time() -> None:
    config = RelayConfig(peek_timeout_s=0.2, response_timeout_s=0.3)
    with server(first(TEN + b"abc", stays=True)) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(GET)
        line, body = answered(sock)
        assert (line, body[:16]) == (b"HTTP/1.1 503 Service Unavailable", b"upstream_timeout")
        sock.sendall(GET)
        assert answered(sock) == (b"HTTP/1.1 200 OK", b"ok")


def test_one_whose_request_goes_on_is_told_as_it_comes() -> None:
    """Both sides may talk at once: a client may wait for a part of the answer before it goes on."""

    def echo(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        sock.sendall(TEN + held)
        while data := sock.recv(100):
            sock.sendall(data)

    with server(echo) as address, Lab(script(address), PATIENT) as lab, lab.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n01234")
        assert read_exactly(sock, len(TEN) + 5) == TEN + b"01234"
        sock.sendall(b"56789")
        assert read_exactly(sock, 5) == b"56789"


class Seeing(Script):
    """A decider that wants to see bodies."""

    def response(self, exchange: Exchange, head: ResponseHead) -> Gather:
        del exchange
        return Gather(head=head, bytes_max=1000)

    def gathered(self, exchange: Exchange, head: ResponseHead, body: bytes) -> Answer:
        del exchange
        return Answer(status=head.status, fields=head.fields, body=body.upper())


@pytest.mark.parametrize("said", [TEN + b"abc", TEN + b"0123456789x"], ids=["too short", "too long"])
def test_it_is_the_same_where_the_body_is_looked_at(said: bytes) -> None:
    with server(first(said)) as address:
        seeing = Seeing(upstream=Upstream(host=address.host, port=address.port))
        with Lab(seeing, PATIENT) as lab, lab.connect() as sock:
            sock.sendall(GET)
            assert answered(sock)[0] == b"HTTP/1.1 503 Service Unavailable"
            sock.sendall(GET)
            assert answered(sock) == (b"HTTP/1.1 200 OK", b"OK")


def test_whoever_leaves_while_an_answer_is_held_leaves_nothing() -> None:
    gone = threading.Event()

    def half(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(TEN + b"abc")
        sock.settimeout(PATIENCE_S)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        gone.set()

    with server(half) as address, Lab(script(address), PATIENT) as lab:
        with lab.connect() as sock:
            sock.sendall(GET)
            lab.script.wait(lambda seen: bool(seen.shown))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert gone.wait(PATIENCE_S)
        lab.script.wait(lambda seen: len(seen.exchanges) == 1)
