"""What first bytes say: real ClientHellos, cut and changed; HTTP heads; anything at all."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.relay.decide import Peeked, Wire
from kecs.relay.peek import LOOKED_AT_MOST, authority, look


def client_hello(name: str | None, alpn: tuple[str, ...] = ()) -> bytes:
    """Let OpenSSL write a ClientHello."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def fragmented(hello: bytes, size: int) -> bytes:
    """Spread the handshake message over records of this size."""
    message = hello[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)


HELLO = client_hello("Bucket.S3.amazonaws.com", ("h2", "http/1.1"))
SEEN = Peeked(wire=Wire.TLS, name="bucket.s3.amazonaws.com", alpn=("h2", "http/1.1"))


def test_a_client_hello() -> None:
    assert look(HELLO) == SEEN


def test_without_a_name() -> None:
    assert look(client_hello(None)) == Peeked(wire=Wire.TLS)


def test_a_byte_at_a_time_it_waits_until_it_is_whole() -> None:
    assert {look(HELLO[:count]) for count in range(len(HELLO))} == {None}


@pytest.mark.parametrize("size", [1, 3, 100, 200])
def test_fragments_over_records(size: int) -> None:
    assert look(fragmented(HELLO, size)) == SEEN


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            b"GET / HTTP/1.1\r\nA: b\r\nHOST:  S3.Amazonaws.com.:80 \r\n\r\n",
            (Wire.HTTP, "s3.amazonaws.com", 0),
            id="Host",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nX",
            (Wire.HTTP, "s3.amazonaws.com", 0),
            id="Host before the end",
        ),
        pytest.param(
            b"GET http://sqs.amazonaws.com/x HTTP/1.1\r\nHost: a\r\n\r\n",
            (Wire.HTTP, "sqs.amazonaws.com", 0),
            id="absolute form wins",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n\r\n", (Wire.HTTP, "", 0), id="no Host"),
        pytest.param(
            b"CONNECT sts.amazonaws.com:443 HTTP/1.1\r\n\r\n", (Wire.CONNECT, "sts.amazonaws.com", 443), id="CONNECT"
        ),
        pytest.param(b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n", (Wire.CONNECT, "::1", 443), id="CONNECT v6"),
        pytest.param(b"SSH-2.0-OpenSSH_9\r\n", (Wire.OTHER, "", 0), id="ssh"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (Wire.OTHER, "", 0), id="HTTP/2 with prior knowledge"),
        pytest.param(b"\x00\x01\x02", (Wire.OTHER, "", 0), id="binary"),
        pytest.param(b"\x16\x02\x01\x00\x05hello", (Wire.OTHER, "", 0), id="handshake byte, not TLS"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", (Wire.OTHER, "", 0), id="handshake, no hello"),
        pytest.param(b"get / http/1.1\r\n\r\n", (Wire.OTHER, "", 0), id="lower case is no method"),
    ],
)
def test_first_bytes(data: bytes, expected: tuple[Wire, str, int]) -> None:
    seen = look(data)
    assert seen is not None
    assert (seen.wire, seen.name, seen.port) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHos",
        b"GET / HTTP/1.1\r\nHost: s3.amaz",
        b"CONNECT a:1 HTTP/1.1\r\nA: b\r\n",
        HELLO[:5],
    ],
    ids=repr,
)
def test_more_is_needed(data: bytes) -> None:
    assert look(data) is None


def test_nothing_is_waited_for_without_end() -> None:
    assert look(b"GET /" + b"a" * LOOKED_AT_MOST) == Peeked(wire=Wire.HTTP)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert look(data) is None or isinstance(look(data), Peeked)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_changed_hello_never_raises(position: int, value: int) -> None:
    changed = HELLO[:position] + bytes([value]) + HELLO[position + 1 :]
    seen = look(changed)
    assert seen is None or seen.wire in {Wire.TLS, Wire.OTHER, Wire.HTTP}


@given(st.binary(max_size=40))
def test_any_authority_gives_a_name_and_a_port(value: bytes) -> None:
    name, port = authority(value)
    assert name == name.lower()
    assert 0 <= port <= 99999
