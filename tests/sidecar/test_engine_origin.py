"""The header in front of connections to the engine, and the mark of requests that come back."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.relay.decide import Address
from kecs.sidecar.engine_origin import FIXED, Origin, mark, read, read_mark, rest_of, spell

SECRET = b"0123456789abcdef"
addresses = st.builds(Address, st.ip_addresses().map(str), st.integers(0, 65535))
origins = st.builds(Origin, client=addresses, destination=addresses)


def plain(origin: Origin) -> Origin:
    """IPv4 addresses in IPv6 are shown as what they are."""
    return Origin(client=_plain(origin.client), destination=_plain(origin.destination))


def _plain(address: Address) -> Address:
    found = ipaddress.ip_address(address.host)
    return Address(str(getattr(found, "ipv4_mapped", None) or found), address.port)


ANY = Origin(client=Address("10.0.0.1", 1), destination=Address("10.0.0.2", 2))


@given(origins)
def test_what_is_spelled_is_read(origin: Origin) -> None:
    header = spell(origin, SECRET)
    assert rest_of(header[:FIXED]) == len(header) - FIXED
    assert read(header, SECRET) == plain(origin)


def test_it_is_the_header_that_haproxy_describes() -> None:
    """Example of proxy-protocol.txt 2.2: signature, version 2 and PROXY, TCP over IPv4, 12 bytes of addresses."""
    origin = Origin(client=Address("10.1.2.3", 40000), destination=Address("203.0.113.9", 443))
    header = spell(origin, b"s")
    assert header[:12] == b"\r\n\r\n\0\r\nQUIT\n"
    assert header[12:14] == b"\x21\x11"
    assert header[14:16] == (12 + 4).to_bytes(2)
    assert header[16:28] == bytes([10, 1, 2, 3, 203, 0, 113, 9]) + (40000).to_bytes(2) + (443).to_bytes(2)
    assert header[28:] == b"\xe0\x00\x01s"


def test_a_zone_is_no_part_of_an_address() -> None:
    origin = Origin(client=Address("fe80::1%eth0", 1), destination=Address("::1", 2))
    assert read(spell(origin, SECRET), SECRET).client == Address("fe80::1", 1)


@pytest.mark.parametrize("at", range(len(spell(ANY, SECRET))))
def test_every_byte_of_a_header_counts(at: int) -> None:
    header = bytearray(spell(ANY, SECRET))
    header[at] ^= 1
    with contextlib.suppress(ProtocolError):
        assert read(bytes(header), SECRET) != ANY, "its addresses and ports are what it says"


@given(origins, st.data())
def test_whoever_has_not_the_secret_is_refused(origin: Origin, data: st.DataObject) -> None:
    header = bytearray(spell(origin, SECRET))
    at = data.draw(st.one_of(st.integers(0, FIXED - 1), st.integers(len(header) - len(SECRET) - 3, len(header) - 1)))
    header[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        read(bytes(header), SECRET)


@given(st.binary(max_size=96))
def test_other_bytes_are_an_error_of_ours(data: bytes) -> None:
    for header in (data.ljust(FIXED, b"\0"), spell(ANY, SECRET)[:FIXED] + data):
        with pytest.raises(ProtocolError):
            read(header, SECRET)


@given(origins)
def test_the_mark_says_whose_request_comes_back(origin: Origin) -> None:
    assert read_mark(mark(origin, SECRET), SECRET) == origin
    assert read_mark(mark(origin, b"other"), SECRET) is None


@pytest.mark.parametrize("value", [b"", SECRET, SECRET + b" a b c", SECRET + b" a 1 b 2 c", b" a 1 b 2", b"\xff" * 9])
def test_a_mark_is_whole_or_none(value: bytes) -> None:
    assert read_mark(value, SECRET) is None
