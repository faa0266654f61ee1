"""Netlink messages as bytes: encode and decode, pure. Never a socket.

Layout: linux/netlink.h and linux/netfilter/nfnetlink.h. Netlink headers are in the machine's byte order,
netfilter's own numbers in network order.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kecs.core.errors import ProtocolError

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

NLMSG_ERROR: Final = 2
NLA_F_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NFGEN: Final = struct.Struct("!BBH")
_ERROR: Final = struct.Struct("=i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One netlink message. `port` is 0 in what we send."""

    kind: int
    flags: int = NLM_F_REQUEST
    sequence: int = 0
    port: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the message as on the wire, padded to four bytes."""
        length = _HEADER.size + len(self.payload)
        header = _HEADER.pack(length, self.kind, self.flags, self.sequence, self.port)
        return _padded(header + self.payload)

    @property
    def error(self) -> int | None:
        """The errno of an acknowledgement (0 = done), None for any other message."""
        if self.kind != NLMSG_ERROR or len(self.payload) < _ERROR.size:
            return None
        code: int = _ERROR.unpack_from(self.payload)[0]
        return -code


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def decode(data: bytes) -> Iterator[Message]:
    """Split what one datagram holds; raises ProtocolError where a length contradicts the data."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise ProtocolError(f"netlink message cut short: {len(data) - offset} bytes left")
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise ProtocolError(f"netlink message says {length} bytes, {len(data) - offset} are there")
        payload = data[offset + _HEADER.size : offset + length]
        yield Message(kind=kind, flags=flags, sequence=sequence, port=port, payload=payload)
        offset += length + -length % 4


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value)


def nested(kind: int, *children: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(children))


def attributes(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Split a run of attributes in order, flags removed from their types; raises ProtocolError on damage."""
    found = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _ATTRIBUTE.size:
            raise ProtocolError(f"netlink attribute cut short: {len(data) - offset} bytes left")
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            raise ProtocolError(f"netlink attribute says {length} bytes, {len(data) - offset} are there")
        found.append((kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]))
        offset += length + -length % 4
    return tuple(found)


def netfilter(*, family: int = 0, resource: int = 0, body: bytes = b"") -> bytes:
    """Return a netfilter payload: its own small header (family, version 0, resource id), then attributes."""
    return _NFGEN.pack(family, 0, resource) + body


def netfilter_body(payload: bytes) -> tuple[int, int, tuple[tuple[int, bytes], ...]]:
    """Return family, resource id and attributes of a netfilter payload; raises ProtocolError on damage."""
    if len(payload) < _NFGEN.size:
        raise ProtocolError(f"netfilter header cut short: {len(payload)} bytes")
    family, _version, resource = _NFGEN.unpack_from(payload)
    return family, resource, attributes(payload[_NFGEN.size :])


def u16(value: int) -> bytes:
    """Return 16 bits in network order."""
    return struct.pack("!H", value)


def u32(value: int) -> bytes:
    """Return 32 bits in network order."""
    return struct.pack("!I", value)


def text(value: str) -> bytes:
    """Return a string as the kernel wants it: with its NUL."""
    return value.encode() + b"\0"
