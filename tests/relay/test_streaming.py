"""Bodies and interim responses: streamed as they come, framed as the client understands, in bounded memory."""

import hashlib
import os
import resource
import socket
from collections.abc import Callable

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server

from kecs.relay.decide import Address, Upstream
from kecs.relay.relay import RelayConfig

HOST = b"Host: s3.amazonaws.com\r\n"


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def answering(*pieces: bytes, close: bool = True) -> Callable[[socket.socket], None]:
    """Read a head, send the pieces, and close or stay."""

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            for piece in pieces:
                sock.sendall(piece)
            if close:
                return

    return handle


def silent(sock: socket.socket) -> None:
    """Read and say nothing."""
    read_all(sock)


def ask(lab: Lab, request: bytes) -> bytes:
    with lab.connect() as sock:
        sock.sendall(request)
        return read_all(sock)


@pytest.mark.parametrize(
    ("said", "request_", "got"),
    [
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3;x=y\r\nabc\r\n", b"0\r\nX-Sum: 1\r\n\r\n"],
            b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
            id="chunked with extension and trailer, verbatim",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\n\r\nabc", b"def"],
            b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
            None,
            id="until close: chunked for the client",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\n\r\nabc"],
            b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
            id="until close: the same for HTTP/1.0",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"],
            b"HEAD / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n",
            id="HEAD has no body",
        ),
        pytest.param(
            [b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'],
            b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
            b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nConnection: close\r\n\r\n',
            id="304 has no body",
        ),
        pytest.param(
            [b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"],
            b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            id="103 goes before",
        ),
        pytest.param(
            [b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
            b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            id="103 is not for HTTP/1.0",
        ),
    ],
)
def test_responses(said: list[bytes], request_: bytes, got: bytes | None) -> None:
    with server(answering(*said)) as address, Lab(script(address)) as lab:
        answer = ask(lab, request_)
    if got is None:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        decoded = b""
        while body and not body.startswith(b"0\r\n"):
            size, _, rest = body.partition(b"\r\n")
            decoded += rest[: int(size, 16)]
            body = rest[int(size, 16) + 2 :]
        assert (decoded, body) == (b"abcdef", b"0\r\n\r\n")
    else:
        assert answer == got


def test_the_clients_connection_outlives_the_backends() -> None:
    """A backend that closes after each answer must not cost the client a handshake each time."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    with server(answering(said)) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls()
        for _ in range(5):
            tls.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert tls.recv(1000) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        tls.close()
        lab.script.wait(lambda seen: len(seen.exchanges) == 5)
        assert lab.relay.counters["tls_handshakes"] == 1
        assert lab.relay.counters["upstream_dialled"] == 5


def test_100_continue_is_the_backends_to_say() -> None:
    """The body is sent only once the backend has asked for it."""

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        assert b"Expect: 100-continue" in read_head(sock, held)
        assert not held
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = read_exactly(sock, 5, held)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    with server(handle) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert sock.recv(100).endswith(b"hello")


def test_a_refusal_instead_of_100_continue_ends_the_connection() -> None:
    """Nobody knows whether the body still comes: the next request must not be taken for it."""
    said = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    config = RelayConfig(peek_timeout_s=5, continue_timeout_s=PATIENCE_S)
    with server(answering(said)) as address, Lab(script(address), config) as lab:
        answer = ask(lab, b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert answer == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    size = 20_000_000
    said = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    with server(answering(said)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        assert read_exactly(sock, len(said)) == said


def test_an_upgrade_becomes_a_tunnel() -> None:
    def echo(sock: socket.socket) -> None:
        head = read_head(sock, bytearray())
        assert b"Upgrade: websocket" in head
        assert b"Connection: upgrade" in head
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := sock.recv(65536):
            sock.sendall(data.upper())

    with server(echo) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls()
        tls.sendall(b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
        held = bytearray()
        assert read_head(tls, held).startswith(b"HTTP/1.1 101 ")
        assert read_exactly(tls, 5, held) == b"hello"
        tls.sendall(b"GET / HTTP/1.1 is no request any more")
        assert read_exactly(tls, 37) == b"GET / HTTP/1.1 IS NO REQUEST ANY MORE"
        tls.close()


def test_a_client_that_sends_no_more_still_gets_its_answer() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with server(answering(said)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b"ok")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"not HTTP at all\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", id="ambiguous"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", id="two lengths"),
    ],
)
def test_a_backend_that_answers_nonsense_is_a_503(said: bytes) -> None:
    with server(answering(said)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_a_body_that_breaks_off_is_not_passed_off_as_whole() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc"
    with server(answering(said)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        sock.settimeout(PATIENCE_S)
        got = read_exactly(sock, len(said))
        assert got == said
        with pytest.raises(ConnectionResetError):
            sock.recv(1000)


def test_a_backend_that_says_nothing_is_given_up() -> None:
    config = RelayConfig(peek_timeout_s=0.2, first_byte_timeout_s=0.3, body_timeout_s=1)
    with server(silent) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"upstream_first_byte_timeout" in sock.recv(1000)


SIZE = 128 * 1024 * 1024
BLOCK = os.urandom(1 << 20)


def digest() -> str:
    found = hashlib.sha256()
    for _ in range(SIZE // len(BLOCK)):
        found.update(BLOCK)
    return found.hexdigest()


def test_a_large_body_streams_both_ways_in_bounded_memory() -> None:
    """The backend hashes what it gets and sends as much back, slowly read: nothing piles up in between."""

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        found, left = hashlib.sha256(held), SIZE - len(held)
        while left:
            data = sock.recv(min(left, 1 << 20))
            found.update(data)
            left -= len(data)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Sum: %b\r\nContent-Length: %d\r\n\r\n" % (found.hexdigest().encode(), SIZE))
        for _ in range(SIZE // len(BLOCK)):
            sock.sendall(BLOCK)

    with server(handle) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tls.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(BLOCK)):
            tls.sendall(BLOCK)
        held = bytearray()
        assert digest().encode() in read_head(tls, held)
        found, left = hashlib.sha256(held), SIZE - len(held)
        while left:
            data = tls.recv(min(left, 1 << 20))
            found.update(data)
            left -= len(data)
        assert found.hexdigest() == digest()
        tls.close()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024, f"{grown} KiB more than before, for {SIZE >> 10} KiB each way"


def test_a_large_pass_is_spliced_and_whole() -> None:
    def echo(sock: socket.socket) -> None:
        for _ in range(SIZE // len(BLOCK)):
            sock.sendall(BLOCK)

    with server(echo) as destination, Lab(script(destination), RelayConfig(peek_timeout_s=0.1)) as lab:
        lab.destination = destination
        with lab.connect() as sock:
            found = hashlib.sha256()
            while data := sock.recv(1 << 20):
                found.update(data)
        assert found.hexdigest() == digest()
        lab.script.wait(lambda seen: [received for _, _, _, received in seen.ends] == [SIZE])
