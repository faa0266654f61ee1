"""Bytes with a reset right behind them: the loop's library tells of both at once, and of the reset never again."""

import socket
import ssl
import struct
import threading

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, standing, until

from kecs.relay.decide import Upstream, Wire
from kecs.relay.relay import RelayConfig

HOST = b"Host: s3.amazonaws.com\r\n"
REQUEST = b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOWHERE_YET = Upstream(host="127.0.0.1", port=1)
RESET = struct.pack("ii", 1, 0)
PATIENT = RelayConfig(head_timeout_s=900, body_timeout_s=900, idle_timeout_s=900, peek_timeout_s=0.2)


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        read_exactly(sock, 3, held)
        sock.sendall(OK)


class Resetting:
    """A backend that, told so, says something and resets."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.asked, self.now, self.gone = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        if self.asked.is_set():
            return
        held = bytearray()
        read_head(sock, held)
        read_exactly(sock, 3, held)
        self.asked.set()
        assert self.now.wait(PATIENCE_S)
        sock.sendall(self.says)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        self.gone.set()

    def go(self, lab: Lab) -> None:
        assert self.asked.wait(PATIENCE_S)
        with standing(lab):
            self.now.set()
            assert self.gone.wait(PATIENCE_S)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="an alert of TLS"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim answer"),
    ],
)
def test_a_backend_that_resets_before_its_answer_is_a_503(says: bytes) -> None:
    backend = Resetting(says)
    told = Script(upstream=NOWHERE_YET)
    with server(backend) as address, Lab(told) as lab, lab.connect() as sock:
        told.upstream = Upstream(host=address.host, port=address.port)
        sock.sendall(REQUEST)
        backend.go(lab)
        held = bytearray()
        head = read_head(sock, held)
        assert (read_head(sock, held) if b" 100 " in head else head).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc", id="known length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nab", id="until the end"),
    ],
)
def test_a_backend_that_resets_inside_its_answer_breaks_it_off(says: bytes) -> None:
    backend = Resetting(says)
    with server(backend) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            backend.go(lab)
            assert not read_all(sock).endswith(b"0\r\n\r\n")
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["upstream_reset"])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    "says", [pytest.param(REQUEST[:20], id="inside a head"), pytest.param(REQUEST[:-1], id="inside a body")]
)
def test_a_client_that_resets_is_not_waited_for(says: bytes, *, tls: bool) -> None:
    with server(ok) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port)), PATIENT) as lab:
        sock = lab.connect_tls(NAME) if tls else lab.connect()
        sock.sendall(REQUEST)
        assert read_exactly(sock, len(OK)) == OK
        with standing(lab):
            sock.sendall(says)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        until(lambda: not lab.relay.open)


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["little", "bulk"])
def test_a_pass_ends_with_a_reset_behind_its_bytes(size: int) -> None:
    told = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.sendall(bytes(size))
        assert told.wait(PATIENCE_S)
        sock.sendall(b"last")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        gone.set()

    gone = threading.Event()
    with server(serve) as address, Lab(Script(upstream=NOWHERE_YET)) as lab:
        lab.destination = address
        with lab.connect() as sock:
            sock.sendall(b"\0")
            assert len(read_exactly(sock, size)) == size
            with standing(lab):
                told.set()
                assert gone.wait(PATIENCE_S)
            read_all(sock)
        lab.script.wait(
            lambda seen: [(peeked.wire, reason) for peeked, reason, *_ in seen.ends] == [(Wire.OTHER, "reset")]
        )


@pytest.mark.parametrize("ends", [pytest.param(True, id="reset"), pytest.param(False, id="closed")])
def test_who_leaves_with_the_end_of_the_handshake_is_not_kept(*, ends: bool) -> None:
    """A reset that comes with the handshake's last bytes is told to whoever shook hands, and never again."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with server(lambda _: None) as address, Lab(Script(Upstream(*address))) as lab:
        tls = lab.authority.client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
        with lab.connect() as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            with standing(lab):
                sock.sendall(outgoing.read())
                if ends:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        until(lambda: lab.call(lambda: lab.relay.counters["tls_handshakes"]) == 1)
        until(lambda: lab.call(lambda: lab.relay.open) == 0)
