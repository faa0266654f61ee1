"""What is said of a ClientHello by one met before is what reading it says, whatever is changed."""

import random
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.relay.decide import Peeked, Wire
from kecs.relay.hellos import Hellos
from kecs.relay.peek import read

NAME = "bucket.s3.amazonaws.com"


def context(**limits: ssl.TLSVersion) -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["h2", "http/1.1"])
    for name, version in limits.items():
        setattr(made, name, version)
    return made


def hello(tls: ssl.SSLContext, name: str | None = NAME) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def seen(data: bytes) -> Peeked:
    found = read(data)
    assert found is not None
    return found


NEWEST = context()
OLDER = context(maximum_version=ssl.TLSVersion.TLSv1_2)
HELLO = hello(NEWEST)
MET = Hellos()
MET.add(HELLO, seen(HELLO))


@pytest.mark.parametrize("tls", [pytest.param(NEWEST, id="TLS 1.3"), pytest.param(OLDER, id="TLS 1.2")])
@pytest.mark.parametrize("name", [NAME, None])
def test_the_next_hello_of_a_client_is_known(tls: ssl.SSLContext, name: str | None) -> None:
    met = Hellos()
    first, second = hello(tls, name), hello(tls, name)
    assert first != second
    met.add(first, seen(first))
    assert met.find(second) == seen(first) == Peeked(wire=Wire.TLS, name=name or "", alpn=("h2", "http/1.1"))


def test_another_name_is_not_known_by_it() -> None:
    other = hello(NEWEST, NAME.replace("b", "d"))
    assert len(other) == len(HELLO)
    assert MET.find(other) is None


@given(st.lists(st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), max_size=3))
def test_a_changed_hello_is_unknown_or_says_the_same(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(HELLO)
    for place, value in changes:
        changed[place] = value
    found = MET.find(bytes(changed))
    assert found is None or found == read(bytes(changed))


@given(st.randoms(use_true_random=False), st.integers(0, len(HELLO)), st.integers(0, 200))
def test_a_hello_with_another_piece_is_unknown_or_says_the_same(made: random.Random, start: int, size: int) -> None:
    changed = (HELLO[:start] + made.randbytes(size) + HELLO[start + size :])[: len(HELLO)]
    found = MET.find(changed)
    assert found is None or found == read(changed)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_whatever_is_remembered_says_the_same_of_all_it_knows(place: int, value: int) -> None:
    """A hello that was changed may be remembered too, as long as it was understood."""
    changed = HELLO[:place] + bytes([value]) + HELLO[place + 1 :]
    found = read(changed)
    if found is None or found.wire is not Wire.TLS:
        return
    met = Hellos()
    met.add(changed, found)
    for data in (HELLO, changed, hello(NEWEST)):
        assert met.find(data) in {None, read(data)}


def extended(extensions: bytes, trailing: bytes = b"") -> bytes:
    """Write a hello with these extensions."""
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions + trailing
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


@given(
    st.lists(st.tuples(st.sampled_from([0, 16, 41, 51, 65037]), st.binary(max_size=60)), max_size=6),
    st.binary(max_size=40),
    st.randoms(use_true_random=False),
)
def test_any_hello_knows_its_likes(parts: list[tuple[int, bytes]], trailing: bytes, made: random.Random) -> None:
    data = extended(b"".join(extension(*part) for part in parts), trailing)
    found = read(data)
    assert found is not None
    met = Hellos()
    met.add(data, found)
    assert met.find(data) == found
    for _ in range(5):
        place = made.randrange(len(data))
        other = data[:place] + made.randbytes(1) + data[place + 1 :]
        assert met.find(other) in {None, read(other)}


def test_what_is_in_several_records_or_followed_by_more_is_not_remembered() -> None:
    met = Hellos()
    split = (
        HELLO[:3] + (100).to_bytes(2) + HELLO[5:105] + b"\x16\x03\x01" + (len(HELLO) - 105).to_bytes(2) + HELLO[105:]
    )
    for data in (split, HELLO + b"\x17\x03\x03\x00\x01x"):
        met.add(data, seen(data))
        assert met.find(data) is None


def test_only_so_many_are_remembered() -> None:
    met = Hellos()
    hellos = [
        extended(extension(65000, bytes(size)) + extension(10, bytes([again])))
        for size in range(100)
        for again in range(20)
    ]
    for data in hellos:
        met.add(data, seen(data))
    assert 0 < sum(met.find(data) is not None for data in hellos) <= 64 * 8
    assert met.find(hellos[-1]) is not None
    long = extended(extension(65000, bytes(3000)))
    met.add(long, seen(long))
    assert met.find(long) is None
