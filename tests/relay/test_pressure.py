"""Readers that are slower than writers, and connections that break, on both sides of passes and switched protocols."""

import socket
import threading
from collections.abc import Callable

import pytest
from relay_lab import NAME, PATIENCE_S, Authority, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.relay.contexts import Contexts
from kecs.relay.decide import Address, Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SIZE = 16_000_000
RESET = b"\x01\0\0\0\0\0\0\0"


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def switching(then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def handle(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(SWITCHED)
        then(sock)

    return handle


def echo_later(sock: socket.socket) -> None:
    """Take nothing until much is waiting, then give all of it back."""
    threading.Event().wait(0.3)
    got = read_exactly(sock, SIZE)
    sock.sendall(got)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_switched_connection_holds_back_whoever_is_faster(*, tls: bool) -> None:
    with server(switching(echo_later)) as address, Lab(script(address)) as lab:
        with lab.connect_tls() if tls else lab.connect() as sock:
            sock.sendall(UPGRADE)
            assert read_exactly(sock, len(SWITCHED)) == SWITCHED
            sock.sendall(bytes(SIZE))
            threading.Event().wait(0.3)
            assert len(read_exactly(sock, SIZE)) == SIZE
        until(lambda: not lab.relay.open)


def test_a_pass_holds_back_whoever_is_faster() -> None:
    with server(echo_later) as address, Lab(script(address), destination=address) as lab:
        with lab.connect() as sock:
            sock.sendall(bytes(SIZE))
            threading.Event().wait(0.3)
            assert len(read_exactly(sock, SIZE)) == SIZE
        lab.script.wait(lambda seen: [(sent, got) for _, _, sent, got in seen.ends] == [(SIZE, SIZE)])


def break_off(sock: socket.socket) -> None:
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_a_break_behind_a_switched_connection_reaches_the_client() -> None:
    with server(switching(break_off)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(UPGRADE)
        assert read_exactly(sock, len(SWITCHED)) == SWITCHED
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        until(lambda: not lab.relay.open)


def test_a_break_behind_a_pass_reaches_the_client() -> None:
    with server(break_off) as address, Lab(script(address), destination=address) as lab, lab.connect() as sock:
        sock.sendall(b"\0")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["reset"])


def test_more_requests_than_are_read_ahead_are_all_answered() -> None:
    go = threading.Event()

    def slow(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            assert go.wait(PATIENCE_S)
            sock.sendall(OK)

    request = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 5000 + b"\r\n\r\n"
    with server(slow) as address, Lab(script(address)) as lab, lab.connect_tls() as sock:
        sock.sendall(request * 40)
        until(lambda: lab.script.shown)
        go.set()
        assert read_exactly(sock, len(OK) * 40) == OK * 40


def test_a_body_that_the_decider_wants_to_see_is_asked_for() -> None:
    """The decision needs the body, so nobody else can say 100."""

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        assert read_exactly(sock, 5, held) == b"hello"
        sock.sendall(OK)

    with server(handle) as address:
        told = script(address)
        told.wants = 10
        with Lab(told) as lab, lab.connect() as sock:
            sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"hello")
            assert sock.recv(100) == OK
        assert told.shown == [b"hello"]


def test_a_malformed_body_that_the_decider_wants_to_see_is_refused() -> None:
    told = Script(upstream=Upstream(host="127.0.0.1", port=1), wants=10)
    with Lab(told) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")
    assert told.shown == []


def test_a_malformed_body_on_its_way_is_refused() -> None:
    def silent(sock: socket.socket) -> None:
        read_all(sock)

    with server(silent) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        until(lambda: lab.script.shown)
        sock.sendall(b"no chunk\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")


def test_contexts_are_few_and_can_be_forgotten() -> None:
    authority = Authority()
    contexts = Contexts(authority.mint, kept=1)
    first = contexts.get(NAME)
    assert contexts.get(NAME) is first
    contexts.get("sqs.eu-west-1.amazonaws.com")
    assert contexts.get(NAME) is not first
    contexts.clear()
    contexts.get(NAME)
    assert contexts.minted == 4
