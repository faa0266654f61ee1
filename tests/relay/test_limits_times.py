"""Each time has its word: in the answer or the end, in the record, in the counters."""

import errno
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.aws.head import Answer
from kecs.relay.decide import Address, Connection, Dialled, Upstream
from kecs.relay.relay import RelayConfig

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 10\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegun"
SOON = 0.2


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while head := read_head(sock, held):
        if b"Content-Length" in head:
            read_exactly(sock, 10 - len(held))
        sock.sendall(OK)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


@pytest.fixture
def backend() -> Iterator[Address]:
    with server(ok) as address:
        yield address


def config(**limits: float) -> RelayConfig:
    return RelayConfig(**{"peek_timeout_s": 10, "linger_s": SOON, **limits})  # type: ignore[arg-type]  # counts are whole


@pytest.mark.parametrize(
    ("limits", "sent", "status", "reason"),
    [
        pytest.param({"head_timeout_s": SOON}, REQUEST[:-2], 408, "head_timeout", id="half a head"),
        pytest.param({"body_timeout_s": SOON}, PUT + b"12345", 408, "body_timeout", id="half a body"),
        pytest.param(
            {"head_bytes_max": 4096}, REQUEST[:-2] + b"X: " + bytes([120]) * 5000, 431, "head_too_long", id="no end"
        ),
        pytest.param(
            {"head_fields_max": 16},
            REQUEST[:-2] + b"X: y\r\n" * 16 + b"\r\n",
            431,
            "head_too_many_fields",
            id="many fields",
        ),
    ],
)
def test_requests_that_do_not_come_as_they_should(
    limits: dict[str, float], sent: bytes, status: int, reason: str, backend: Address
) -> None:
    with Lab(script(backend), config(**limits)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert read_exactly(sock, len(OK)) == OK
        sock.sendall(sent)
        assert read_all(sock).startswith(f"HTTP/1.1 {status} ".encode())
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["", reason])
        assert lab.relay.counters[reason] == 1


def test_a_connection_without_a_request_is_closed(backend: Address) -> None:
    with Lab(script(backend), config(idle_timeout_s=SOON)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert read_all(sock) == OK
        until(lambda: lab.relay.open == 0)
        assert lab.relay.counters["idle_timeout"] == 1


def test_a_handshake_that_does_not_go_on(backend: Address) -> None:
    incoming, hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, hello, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with Lab(script(backend), config(handshake_timeout_s=SOON)) as lab, lab.connect() as sock:
        sock.sendall(hello.read())
        read_all(sock)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["tls_handshake_timeout"])
        assert lab.relay.counters["tls_handshake_timeout"] == 1


def test_the_first_byte_has_a_time_of_its_own() -> None:
    """Lambda may take minutes to begin; once it has begun, silence means something else."""
    go = threading.Event()

    def slow(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        assert go.wait(PATIENCE_S)
        sock.sendall(OK)
        read_head(sock, held)
        sock.sendall(BEGUN)
        read_all(sock)

    with server(slow) as address, Lab(script(address), config(response_timeout_s=SOON)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        until(lambda: lab.script.shown)
        ticks = lab.call(lab.loop.time)
        until(lambda: lab.call(lab.loop.time) > ticks + 3 * SOON)  # longer than silence within an answer may last
        go.set()
        assert read_exactly(sock, len(OK)) == OK
        sock.sendall(REQUEST)
        assert read_all(sock) == BEGUN, "what has begun can only be broken off"
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["", "upstream_timeout"])
        assert lab.relay.counters["upstream_timeout"] == 1


def test_an_interim_response_is_no_first_byte() -> None:
    def interim(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        read_all(sock)

    with (
        server(interim) as address,
        Lab(script(address), config(first_byte_timeout_s=SOON)) as lab,
        lab.connect() as sock,
    ):
        sock.sendall(REQUEST)
        assert b"HTTP/1.1 503" in read_exactly(sock, 100)
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["upstream_first_byte_timeout"])
        assert lab.relay.counters["upstream_first_byte_timeout"] == 1


def test_a_pass_without_a_byte_is_closed(backend: Address) -> None:
    def silent(sock: socket.socket) -> None:
        read_all(sock)

    with (
        server(silent) as destination,
        Lab(script(backend), config(tunnel_idle_timeout_s=SOON), destination=destination) as lab,
        lab.connect() as sock,
    ):
        sock.sendall(b"\0\0")
        assert read_all(sock) == b""
        until(lambda: lab.relay.open == 0)
        assert lab.relay.counters["tunnel_idle_timeout"] == 1


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ETIMEDOUT, "dial_timeout"), (errno.EMFILE, "descriptors_exhausted")]
)
def test_a_destination_that_is_not_reached(code: int, reason: str, backend: Address) -> None:
    def dial(connection: Connection, done: Dialled) -> None:
        del connection
        done(OSError(code, "said by the test"))

    with Lab(script(backend), config(), dial=dial) as lab, lab.connect() as sock:
        sock.sendall(b"\0\0")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        lab.script.wait(lambda seen: [why for _, why, _, _ in seen.ends] == [reason])
        assert lab.relay.counters[reason] == 1


def test_what_comes_after_an_early_answer_is_dropped_up_to_a_bound(backend: Address) -> None:
    told = script(backend)
    told.answer = Answer(status=403, body=b"no")
    with Lab(told, config(discard_bytes_max=100_000)) as lab, lab.connect() as sock:
        sock.sendall(PUT.replace(b"10", b"10000000") + bytes(200_000))
        assert read_all(sock).startswith(b"HTTP/1.1 403 ")
        until(lambda: lab.relay.open == 0)
        assert lab.relay.counters["discard_over_limit"] == 1
