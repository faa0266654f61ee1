"""A client that waits to be told to go on, and a backend that does not tell it."""

import socket
import threading

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_exactly, read_head, server, until

from kecs.relay.decide import Address, Upstream
from kecs.relay.relay import RelayConfig

HOST = b"Host: s3.us-east-1.amazonaws.com\r\n"
EXPECTS = b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON = RelayConfig(peek_timeout_s=0.2, continue_timeout_s=0.05, linger_s=0.1)
NEVER = RelayConfig(peek_timeout_s=0.2, continue_timeout_s=900)


class Silent:
    """Says what it is to say after the head, then reads the body; answers that."""

    def __init__(self, *said: bytes, answer: bytes = OK) -> None:
        self.said, self.answer = said, answer
        self.bodies: list[bytes] = []
        self.goes_on = threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            for one in self.said:
                sock.sendall(one)
            body = bytes(held) + read_exactly(sock, 5 - len(held))
            held.clear()
            self.bodies.append(body)
            sock.sendall(self.answer)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def go_on(sock: socket.socket) -> None:
    """Do what a client does that waits for as long as it takes."""
    sock.sendall(EXPECTS)
    assert read_exactly(sock, len(CONTINUE)) == CONTINUE
    sock.sendall(b"hello")
    assert read_exactly(sock, len(OK)) == OK


def test_the_relay_says_it_once_for_each_request() -> None:
    backend = Silent()
    with server(backend) as address, Lab(script(address), SOON) as lab, lab.connect() as sock:
        for _ in range(3):
            go_on(sock)
        assert backend.bodies == [b"hello"] * 3
        assert lab.relay.counters["continue_said"] == 3
        assert lab.relay.counters["upstream_dialled"] == 1


def test_what_the_backend_says_in_time_is_all() -> None:
    with server(Silent(CONTINUE)) as address, Lab(script(address), NEVER) as lab, lab.connect() as sock:
        go_on(sock)
        assert lab.relay.counters["continue_said"] == 0


def test_a_hint_does_not_tell_a_client_to_go_on() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with server(Silent(hint)) as address, Lab(script(address), SOON) as lab, lab.connect() as sock:
        sock.sendall(EXPECTS)
        assert read_exactly(sock, len(hint + CONTINUE)) == hint + CONTINUE
        sock.sendall(b"hello")
        assert read_exactly(sock, len(OK)) == OK


def test_a_client_that_has_begun_is_told_nothing() -> None:
    """It is told when the first byte may go, not when the rest may: half a body is the client's to finish."""
    begun = threading.Event()

    def backend(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        while len(held) < 3:
            held += sock.recv(3)
        begun.set()
        read_exactly(sock, 5 - len(held))
        sock.sendall(OK)

    with server(backend) as address, Lab(script(address), SOON) as lab, lab.connect() as sock:
        sock.sendall(EXPECTS + b"hel")
        assert begun.wait(PATIENCE_S)
        ticks = threading.Event()
        lab.loop.call_soon_threadsafe(lab.loop.call_later, 0.3, ticks.set)
        assert ticks.wait(PATIENCE_S)
        sock.sendall(b"lo")
        assert read_exactly(sock, len(OK)) == OK
        assert lab.relay.counters["continue_said"] == 0


@pytest.mark.parametrize("dies", ["before the body", "behind the body"])
def test_a_backend_that_dies_silently_is_told_as_ever(dies: str) -> None:
    invited = threading.Event()

    def backend(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        assert invited.wait(PATIENCE_S)
        if dies == "behind the body":
            read_exactly(sock, 5 - len(held))

    with server(backend) as address, Lab(script(address), SOON) as lab, lab.connect() as sock:
        sock.sendall(EXPECTS)
        assert read_exactly(sock, len(CONTINUE)) == CONTINUE
        if dies == "behind the body":
            sock.sendall(b"hello")
        invited.set()
        assert read_head(sock, bytearray()).startswith(b"HTTP/1.1 503 ")


def test_a_client_is_told_once_when_its_request_is_said_again() -> None:
    """A kept connection dies behind the 100: the request goes to the next one, and the client knows nothing of it."""
    told, seen = threading.Event(), []

    def backend(sock: socket.socket) -> None:
        held = bytearray()
        while head := read_head(sock, held):
            seen.append(head)
            if len(seen) == 2:
                assert told.wait(PATIENCE_S)
                return
            if b"Expect" in head:
                held += read_exactly(sock, 5 - len(held))
                assert bytes(held) == b"hello"
                held.clear()
            sock.sendall(OK)

    with server(backend) as address, Lab(script(address), SOON) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read_exactly(sock, len(OK)) == OK
        sock.sendall(EXPECTS.replace(b"PUT", b"GET"))  # may be repeated whatever the backend has seen
        assert read_exactly(sock, len(CONTINUE)) == CONTINUE
        told.set()
        until(lambda: len(seen) == 3)
        sock.sendall(b"hello")
        assert read_exactly(sock, len(OK)) == OK
        assert lab.relay.counters["continue_said"] == 1
        assert lab.relay.counters["upstream_stale"] == 1
