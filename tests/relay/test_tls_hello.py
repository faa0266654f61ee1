"""ClientHellos as they may come: in fragments, byte by byte, very long, with what nobody knows, and never whole."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server

from kecs.relay.config import RelayConfig
from kecs.relay.decide import Address, Look, Peeked, Upstream, Wire
from kecs.relay.peek import LOOKED_AT_MOST, begun, look

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GREASE = 0x4A4A
ECH = 0xFE0D
KEY_SHARE = 51
X25519_MLKEM768 = 0x11EC


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


@pytest.fixture
def backend() -> Iterator[Address]:
    with server(ok) as address:
        yield address


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


class Client:
    """A TLS client whose records a test may cut as it likes before they are sent."""

    def __init__(self, lab: Lab, *, alpn: list[str] | None = None, name: str | None = NAME) -> None:
        context = lab.authority.client_context()
        context.check_hostname = name is not None
        if alpn:
            context.set_alpn_protocols(alpn)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.hello = self.outgoing.read()

    def finish(self, sock: socket.socket) -> bytes:
        """End the handshake whose ClientHello was sent, and make a call."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.receive(sock)
        self.tls.write(REQUEST)
        sock.sendall(self.outgoing.read())
        got = b""
        while len(got) < len(OK):
            try:
                got += self.tls.read(1000)
            except ssl.SSLWantReadError:
                self.receive(sock)
        return got

    def receive(self, sock: socket.socket) -> None:
        if self.outgoing.pending:
            sock.sendall(self.outgoing.read())
        data = sock.recv(65536)
        assert data, "the relay has ended the connection"
        self.incoming.write(data)


def records(hello: bytes, size: int) -> bytes:
    """Spread the handshake message over records of this size (RFC 8446 section 5.1)."""
    message = b""
    while hello:
        length = int.from_bytes(hello[3:5])
        message += hello[5 : 5 + length]
        hello = hello[5 + length :]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)


def extended(hello: bytes, *extensions: tuple[int, bytes]) -> bytes:
    """Add extensions to a ClientHello: for what looks at it; its sender could not end the handshake."""
    body = bytearray(hello[9:])
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2])
    at += 1 + body[at]
    added = b"".join(kind.to_bytes(2) + len(value).to_bytes(2) + value for kind, value in extensions)
    length = int.from_bytes(body[at : at + 2]) + len(added)
    body[at : at + 2] = length.to_bytes(2) + added
    message = b"\x01" + len(body).to_bytes(3) + body
    return records(b"\x16\x03\x01" + min(len(message), 65535).to_bytes(2) + message, 16384)


@pytest.mark.parametrize("size", [1, 40, 200])
def test_a_hello_in_fragments(backend: Address, size: int) -> None:
    with Lab(script(backend)) as lab:
        client = Client(lab)
        with lab.connect() as sock:
            sock.sendall(records(client.hello, size))
            assert client.finish(sock) == OK


def test_a_hello_byte_by_byte(backend: Address) -> None:
    config = RelayConfig(peek_timeout_s=PATIENCE_S)
    with Lab(script(backend), config) as lab:
        client = Client(lab)
        with lab.connect() as sock:
            for byte in client.hello:
                sock.sendall(bytes([byte]))
            assert client.finish(sock) == OK


def test_a_hello_of_many_records_worth(backend: Address) -> None:
    """As many bytes as several post-quantum key shares, and more than one record holds."""
    alpn = [f"{number:03}".ljust(250, "x") for number in range(160)]
    config = RelayConfig(peek_timeout_s=PATIENCE_S)
    with Lab(script(backend), config) as lab:
        client = Client(lab, alpn=[*alpn, "http/1.1"])
        assert len(client.hello) > 2 * 16384
        with lab.connect() as sock:
            sock.sendall(client.hello)
            assert client.finish(sock) == OK
        assert client.tls.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param([(GREASE, b""), (0x1A1A, b"\0")], id="GREASE"),
        pytest.param([(ECH, b"\0" + bytes(300))], id="encrypted ClientHello, or GREASE of it"),
        pytest.param([(KEY_SHARE, X25519_MLKEM768.to_bytes(2) + bytes(1216))], id="a post-quantum key share"),
        pytest.param([(KEY_SHARE, bytes(40000))], id="more key shares than a record holds"),
        pytest.param([(GREASE, bytes(16)), (ECH, bytes(16)), (0xFFFF, b"")], id="several"),
    ],
)
def test_extensions_do_not_hide_the_name(extensions: list[tuple[int, bytes]]) -> None:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = extended(outgoing.read(), *extensions)
    assert look(hello) == Peeked(wire=Wire.TLS, name=NAME, alpn=("http/1.1",))
    assert {look(hello[:count]) for count in range(0, len(hello), 97)} == {None}


def test_records_without_content_hide_nothing() -> None:
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    empty = b"\x16\x03\x01\x00\x00"
    assert look(empty) is None
    assert look(empty * 3 + records(outgoing.read(), 50)) == Peeked(wire=Wire.TLS, name=NAME)


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        pytest.param(b"", Wire.OTHER, id="nothing"),
        pytest.param(b"\x16", Wire.TLS, id="a byte of TLS"),
        pytest.param(b"\x16\x03\x01", Wire.TLS, id="TLS"),
        pytest.param(b"\x16\x02", Wire.OTHER, id="no version of TLS"),
        pytest.param(b"G", Wire.HTTP, id="a letter"),
        pytest.param(b"GET / HT", Wire.HTTP, id="a request line"),
        pytest.param(b"\0", Wire.OTHER, id="binary"),
    ],
)
def test_beginnings(data: bytes, wire: Wire) -> None:
    assert begun(data) is wire


def lasting(sock: socket.socket) -> None:
    """Say nothing more."""
    assert read_all(sock) == b""


def ending(sock: socket.socket) -> None:
    """Send the end of file."""
    sock.shutdown(socket.SHUT_WR)
    read_all(sock)


@pytest.mark.parametrize("then", [lasting, ending])
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        pytest.param(b"\x16", "tls_hello_incomplete", id="a byte of TLS"),
        pytest.param(b"\x16\x03\x01\x01\x00", "tls_hello_incomplete", id="a record's head"),
        pytest.param(b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", "tls_hello_incomplete", id="half a hello"),
        pytest.param(b"GET / HTTP/1.1\r\nX: y\r\nHos", "http_head_incomplete", id="half a head"),
    ],
)
def test_what_may_become_a_call_is_never_passed_on(
    backend: Address, first: bytes, reason: str, then: Callable[[socket.socket], None]
) -> None:
    told = script(backend)
    with (
        Lab(told, RelayConfig(peek_timeout_s=0.1, head_timeout_s=0.2), destination=backend) as lab,
        lab.connect() as sock,
    ):
        sock.sendall(first)
        then(sock)
        told.wait(lambda seen: [why for _, why, _, _ in seen.ends] == [reason])
        assert lab.relay.counters["passed"] == 0
        assert lab.relay.counters[f"refused_{reason}"] == 1


def test_a_hello_that_is_too_long_is_not_passed_on(backend: Address) -> None:
    told = script(backend)
    hello = b"\x01" + (1 << 20).to_bytes(3) + bytes(1 << 20)
    sent = b"".join(b"\x16\x03\x01\x40\x00" + hello[at : at + 16384] for at in range(0, LOOKED_AT_MOST * 2, 16384))
    with Lab(told, RelayConfig(head_timeout_s=1), destination=backend) as lab, lab.connect() as sock:
        try:
            sock.sendall(sent)
        except ConnectionError:
            pass
        else:
            read_all(sock)
        told.wait(lambda seen: [why for _, why, _, _ in seen.ends] == ["tls_hello_incomplete"])


def dribble(sock: socket.socket, data: bytes) -> None:
    """Send a byte, and another, and another."""
    never = threading.Event()
    for byte in data:
        sock.sendall(bytes([byte]))
        never.wait(0.05)


def test_a_client_that_shakes_hands_byte_by_byte_is_cut(backend: Address) -> None:
    """A byte before every deadline of a single wait does not extend the whole."""
    config = RelayConfig(peek_timeout_s=0.1, head_timeout_s=0.5)
    with Lab(script(backend), config, destination=backend) as lab:
        client = Client(lab)
        with lab.connect() as sock:
            with pytest.raises(OSError, match=r"reset|pipe"):
                dribble(sock, client.hello)
            lab.script.wait(lambda seen: [why for _, why, _, _ in seen.ends] == ["tls_hello_incomplete"])


def test_tls_where_the_server_may_speak_first_is_not_passed_on_in_part(backend: Address) -> None:
    told = script(backend)
    told.looks = Look.DIAL
    with (
        Lab(told, RelayConfig(peek_timeout_s=0.1, head_timeout_s=0.2), destination=backend) as lab,
        lab.connect() as sock,
    ):
        sock.sendall(b"\x16\x03\x01")
        read_all(sock)
        told.wait(lambda seen: [why for _, why, _, _ in seen.ends] == ["tls_hello_incomplete"])


def test_what_is_neither_is_passed_on_in_time(backend: Address) -> None:
    told = script(backend)
    with Lab(told, destination=backend) as lab, lab.connect() as sock:
        sock.sendall(b"\0" + REQUEST[1:])
        assert read_exactly(sock, len(OK)) == OK
