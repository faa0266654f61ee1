"""The kernel's packet queue (linux/netfilter/nfnetlink_queue.h) as messages. Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kecs.core.errors import ProtocolError
from kecs.local import netlink
from kecs.local.netlink import Message, attribute, u32

NFNL_SUBSYS_QUEUE: Final = 3
_PACKET, _VERDICT, _CONFIG = (NFNL_SUBSYS_QUEUE << 8 | kind for kind in (0, 1, 2))
COPIED: Final = 128
"""Bytes of each packet that are copied to us: IP header with options, and TCP up to its flags."""
_HELD: Final = 8192


class Verdict(IntEnum):
    """What becomes of a packet (linux/netfilter.h)."""

    DROP = 0
    ACCEPT = 1


@dataclass(frozen=True, slots=True)
class Held:
    """A packet that waits for its verdict."""

    number: int
    packet: bytes


def configure(queue: int) -> tuple[Message, ...]:
    """Return the messages that bind a queue to the sending socket and ask for the packets' first bytes."""
    flags = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK
    bodies = (
        attribute(1, struct.pack("!BBH", 1, 0, 0)),
        attribute(2, struct.pack("!IB", COPIED, 2)),
        attribute(3, u32(_HELD)),
    )
    return tuple(
        Message(kind=_CONFIG, flags=flags, sequence=number, payload=netlink.netfilter(resource=queue, body=body))
        for number, body in enumerate(bodies, 1)
    )


def verdict(queue: int, number: int, decision: Verdict, *, mark: int = 0) -> bytes:
    """Return the message that lets a packet go on or ends it, with a mark when one is given."""
    body = attribute(2, u32(decision) + u32(number))
    if mark:
        body += attribute(3, u32(mark))
    return Message(kind=_VERDICT, payload=netlink.netfilter(resource=queue, body=body)).encode()


def held(datagram: bytes) -> Iterator[Held]:
    """Return the packets of one datagram; what else it holds is skipped. Raises ProtocolError on damage."""
    for message in netlink.decode(datagram):
        if message.kind != _PACKET:
            continue
        fields = dict(netlink.netfilter_body(message.payload)[2])
        header = fields.get(1, b"")
        if len(header) < 4:  # noqa: PLR2004 - the packet's number
            raise ProtocolError(f"queued packet without its number: {header!r}")
        yield Held(int.from_bytes(header[:4]), fields.get(10, b""))
