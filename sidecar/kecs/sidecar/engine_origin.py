"""Where a connection to the engine comes from, in front of its first byte: the PROXY protocol, version 2.

haproxy's doc/proxy-protocol.txt, section 2.2. One own field (2.2.7, PP2_TYPE_MIN_CUSTOM) says that it is the relay
who tells; any program on the machine may connect to loopback.
"""

import hmac
import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from kecs.core.errors import ProtocolError
from kecs.relay.decide import Address

FIXED: Final = 16
"""Bytes up to and with the length of the rest."""
REST_MAX: Final = 512
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_PROXY: Final = 0x21
_TCP_4, _TCP_6 = 0x11, 0x21
_SECRET: Final = 0xE0
_PORTS: Final = struct.Struct(">HH")
_FIELD: Final = struct.Struct(">BH")
_HEAD: Final = struct.Struct(">12sBBH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who connected, and to where."""

    client: Address
    destination: Address


def spell(origin: Origin, secret: bytes) -> bytes:
    """Return the header."""
    source, target = (ipaddress.ip_address(one.host.partition("%")[0]) for one in (origin.client, origin.destination))
    family = _TCP_4
    if source.version != target.version or source.version == 6:  # noqa: PLR2004 - of IP
        family = _TCP_6
        source, target = (
            ipaddress.IPv6Address(f"::ffff:{one}") if one.version == 4 else one  # noqa: PLR2004 - as above
            for one in (source, target)
        )
    ports = _PORTS.pack(origin.client.port, origin.destination.port)
    rest = source.packed + target.packed + ports + _FIELD.pack(_SECRET, len(secret)) + secret
    return _HEAD.pack(_SIGNATURE, _PROXY, family, len(rest)) + rest


def rest_of(fixed: bytes) -> int:
    """Return how many bytes follow the fixed part; raise ProtocolError when it is none."""
    signature, command, family, length = _HEAD.unpack(fixed)
    if signature != _SIGNATURE or command != _PROXY or family not in {_TCP_4, _TCP_6} or length > REST_MAX:
        raise ProtocolError("this is no header of the PROXY protocol that the relay would send")
    return int(length)


def read(header: bytes, secret: bytes) -> Origin:
    """Read a whole header; raise ProtocolError when it is none, or not the relay's."""
    if rest_of(header[:FIXED]) != len(header) - FIXED:
        raise ProtocolError("the header of the PROXY protocol is not as long as it says")
    size = 4 if header[13] == _TCP_4 else 16
    body = header[FIXED:]
    at = 2 * size + _PORTS.size
    try:
        ports = _PORTS.unpack(body[2 * size : at])
        kind, length = _FIELD.unpack(body[at : at + _FIELD.size])
    except struct.error as error:
        raise ProtocolError("the header of the PROXY protocol is cut off") from error
    told = body[at + _FIELD.size :]
    if kind != _SECRET or length != len(told) or not hmac.compare_digest(told, secret):
        raise ProtocolError("the header of the PROXY protocol is not the relay's")
    hosts = (_text(body[:size]), _text(body[size : 2 * size]))
    client, destination = (Address(host, port) for host, port in zip(hosts, ports, strict=True))
    return Origin(client=client, destination=destination)


def mark(origin: Origin, secret: bytes) -> bytes:
    """Return the field's value that tells the relay whose request comes back, and that it is the engine's."""
    (host, port), (to, to_port) = origin.client, origin.destination
    return secret + f" {host} {port} {to} {to_port}".encode()


def read_mark(value: bytes, secret: bytes) -> Origin | None:
    """Read such a value; None when it is not the engine's."""
    told, _, rest = value.partition(b" ")
    words = rest.decode("latin-1").split(" ")
    if not hmac.compare_digest(told, secret) or len(words) != len(Origin.__slots__) * 2:
        return None
    host, port, to, to_port = words
    return Origin(client=Address(host, int(port)), destination=Address(to, int(to_port)))


def _text(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
