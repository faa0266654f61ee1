"""What a held packet says: who wants to connect where. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kecs.relay.decide import Address

_TCP: Final = 6
_PORTS_AND_SEQUENCE: Final = 8
_FLAGS_OFFSET: Final = 13
_FIN_SYN_RST_ACK, _SYN = 0x17, 0x02


@dataclass(frozen=True, slots=True)
class Syn:
    """The first packet of a TCP connection. Hashable: copies of one SYN are equal."""

    client: Address
    destination: Address
    sequence: int


def parse_syn(packet: bytes) -> Syn | None:
    """Read an IP packet, which may be cut after the TCP flags; None when it is not a plain SYN."""
    if not packet:
        return None
    version = packet[0] >> 4
    if version == 4:  # noqa: PLR2004 - the version itself
        return _parse_v4(packet)
    if version == 6:  # noqa: PLR2004 - the version itself
        return _parse_v6(packet)
    return None


def _parse_v4(packet: bytes) -> Syn | None:
    header = (packet[0] & 0xF) * 4
    if header < 20 or len(packet) < 20 or packet[9] != _TCP:  # noqa: PLR2004 - RFC 791: the shortest header
        return None
    if int.from_bytes(packet[6:8]) & 0x1FFF:
        return None  # a later fragment holds no TCP header
    return _parse_tcp(str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20])), packet[header:])


def _parse_v6(packet: bytes) -> Syn | None:
    # extension headers on a SYN that was made on this machine: only by raw sockets; such packets are not held
    if len(packet) < 40 or packet[6] != _TCP:  # noqa: PLR2004 - RFC 8200: the fixed header
        return None
    return _parse_tcp(str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40])), packet[40:])


def _parse_tcp(source: str, destination: str, segment: bytes) -> Syn | None:
    if len(segment) <= _FLAGS_OFFSET or segment[_FLAGS_OFFSET] & _FIN_SYN_RST_ACK != _SYN:
        return None
    return Syn(
        Address(source, int.from_bytes(segment[0:2])),
        Address(destination, int.from_bytes(segment[2:4])),
        int.from_bytes(segment[4:8]),
    )
