"""The nftables table of a run, as values and as netlink messages. Pure: who sends them is `rules`.

    table inet kecs {
      chain hold {                                   # absent where the kernel can't queue packets
        type filter hook prerouting priority -160
        meta l4proto != tcp accept
        tcp flags & (fin|syn|rst|ack) != syn accept
        meta mark DIAL accept
        <own address> socket wildcard {0,1} accept   # a server inside listens: stays inside
        queue num 0 bypass                           # nobody at the queue: on to the next chain
      }
      chain relay {
        type filter hook prerouting priority -150
        meta l4proto tcp meta mark REFUSE reject with tcp reset
        … the same four …
        meta nfproto ipv4 tproxy ip to 127.0.0.1:PORT accept
        meta nfproto ipv6 tproxy ip6 to [::1]:PORT accept
      }
    }

Two base chains, because a packet that comes back from the queue goes on in the *next* chain. Only SYNs are given to
the relay: every address is local, so later packets find their socket by themselves. The relay's address is always
named: without it the kernel takes lo's first global address, and a listener on ::1 is missed.
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from kecs.core.errors import ProtocolError
from kecs.core.names import RELAY_PORT
from kecs.local import netlink
from kecs.local.netlink import Message, attribute, nested, u16, u32

TABLE: Final = "kecs"
DIAL_MARK: Final = 0x6B650001
"""On sockets that reach inside on purpose (published ports): they must never come back to the relay."""
REFUSE_MARK: Final = 0x6B650002
"""On held SYNs whose destination refused."""
QUEUE: Final = 0

NFNL_SUBSYS_NFTABLES: Final = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _NEWCHAIN, _NEWRULE = (NFNL_SUBSYS_NFTABLES << 8 | kind for kind in (0, 3, 6))
_NFPROTO_INET: Final = 1
_PREROUTING, _LOCAL_OUT = 0, 3
_HOLD_PRIORITY, _RELAY_PRIORITY, _NAT_PRIORITY = -160, -150, -100
_META = {"l4proto": 16, "mark": 3, "nfproto": 15}
_NETWORK, _TRANSPORT = 1, 2
_EQ, _NEQ = 0, 1
_ACCEPT: Final = 1
_SYN_MASK, _SYN = b"\x17", b"\x02"


class Queueing(StrEnum):
    """How packets are queued, best first."""

    NATIVE = "queue"
    COMPAT = "xt NFQUEUE"
    """The iptables target through nft_compat: some kernels have no NFT_QUEUE, yet NFQUEUE."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the rules depend on."""

    own: tuple[IPv4Address | IPv6Address, ...]
    """Addresses, besides loopback, at which a server inside is reached inside."""
    ipv6: bool = True
    port: int = RELAY_PORT
    dial_mark: int = DIAL_MARK
    refuse_mark: int = REFUSE_MARK
    queue: int = QUEUE


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a rule: its kernel name and its attributes."""

    name: str
    attributes: tuple[tuple[int, bytes], ...] = ()

    def encode(self) -> bytes:
        """Return it as an element of a rule's list."""
        data = b"".join(attribute(kind, value) for kind, value in self.attributes)
        return nested(1, attribute(1, netlink.text(self.name)), nested(2, data))


type Rule = tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A base chain."""

    name: str
    kind: str
    hook: int
    priority: int
    rules: tuple[Rule, ...]


def _data(value: bytes) -> bytes:
    return attribute(1, value)


def _meta(key: str) -> Expression:
    return Expression("meta", ((2, u32(_META[key])), (1, u32(1))))


def _compare(value: bytes, operator: int = _EQ) -> Expression:
    return Expression("cmp", ((1, u32(1)), (2, u32(operator)), (3, _data(value))))


def _payload(base: int, offset: int, length: int) -> Expression:
    return Expression("payload", ((1, u32(1)), (2, u32(base)), (3, u32(offset)), (4, u32(length))))


def _mask(mask: bytes) -> Expression:
    xor = b"\0" * len(mask)
    return Expression("bitwise", ((1, u32(1)), (2, u32(1)), (3, u32(len(mask))), (4, _data(mask)), (5, _data(xor))))


def _load(register: int, value: bytes) -> Expression:
    return Expression("immediate", ((1, u32(register)), (2, _data(value))))


ACCEPT: Final = Expression("immediate", ((1, u32(0)), (2, attribute(2, attribute(1, u32(_ACCEPT))))))
_SOCKET: Final = Expression("socket", ((1, u32(2)), (2, u32(1))))
_RESET: Final = Expression("reject", ((1, u32(1)), (2, b"\0")))


def _host_order(value: int) -> bytes:
    return value.to_bytes(4, _BYTE_ORDER)


_BYTE_ORDER: Final = "little" if socket.htons(1) != 1 else "big"


def _marked(mark: int) -> Rule:
    return (_meta("mark"), _compare(_host_order(mark)))


def _family(family: int) -> Rule:
    return (_meta("nfproto"), _compare(bytes((family,))))


def _to(address: IPv4Address | IPv6Address) -> Rule:
    family, offset = (socket.AF_INET, 16) if address.version == 4 else (socket.AF_INET6, 24)  # noqa: PLR2004 - the version itself
    return (*_family(family), _payload(_NETWORK, offset, len(address.packed)), _compare(address.packed))


_LOOPBACK_V4: Final = (*_family(socket.AF_INET), _payload(_NETWORK, 16, 1), _compare(b"\x7f"))
_TCP_ONLY: Final = (_meta("l4proto"), _compare(b"\x06", _NEQ), ACCEPT)
_SYN_ONLY: Final = (_payload(_TRANSPORT, 13, 1), _mask(_SYN_MASK), _compare(_SYN, _NEQ), ACCEPT)


def _stays_inside(layout: Layout) -> tuple[Rule, ...]:
    addresses = [ip_address("::1"), *layout.own]
    targets = [_LOOPBACK_V4, *(_to(address) for address in addresses)]
    return (
        _TCP_ONLY,
        _SYN_ONLY,
        (*_marked(layout.dial_mark), ACCEPT),
        *((*target, _SOCKET, ACCEPT) for target in targets),
    )


def _tproxy(family: int, address: str, port: int) -> Rule:
    return (
        *_family(family),
        _load(1, ip_address(address).packed),
        _load(2, u16(port)),
        Expression("tproxy", ((1, u32(family)), (2, u32(1)), (3, u32(2)))),
        ACCEPT,
    )


_BYPASS: Final = 1


def _queue(layout: Layout, queueing: Queueing) -> Expression:
    if queueing is Queueing.NATIVE:
        return Expression("queue", ((1, u16(layout.queue)), (2, u16(1)), (3, u16(_BYPASS))))
    # struct xt_NFQ_info_v3 (number, total, flags), padded to eight: host order, as iptables' targets are
    info = b"".join(value.to_bytes(2, _BYTE_ORDER) for value in (layout.queue, 1, _BYPASS, 0))
    return Expression("target", ((1, netlink.text("NFQUEUE")), (2, u32(3)), (3, info)))


def tproxy_chains(layout: Layout, queueing: Queueing) -> tuple[Chain, ...]:
    """Return the chains that bring every TCP connection to the relay's listeners with its destination kept."""
    common = _stays_inside(layout)
    tproxies = [_tproxy(socket.AF_INET, "127.0.0.1", layout.port)]
    if layout.ipv6:
        tproxies.append(_tproxy(socket.AF_INET6, "::1", layout.port))
    refuse = (_meta("l4proto"), _compare(b"\x06"), *_marked(layout.refuse_mark), _RESET)
    relay = Chain(
        name="relay", kind="filter", hook=_PREROUTING, priority=_RELAY_PRIORITY, rules=(refuse, *common, *tproxies)
    )
    if queueing is Queueing.NONE:
        return (relay,)
    rules = (*common, (_queue(layout, queueing),))
    return (Chain(name="hold", kind="filter", hook=_PREROUTING, priority=_HOLD_PRIORITY, rules=rules), relay)


def redirect_chains(layout: Layout) -> tuple[Chain, ...]:
    """Return the last resort: everything that is sent is rewritten to the relay's port; it must dial inside first."""
    redirect = Expression("redir", ((1, u32(1)),))
    rules = (
        (*_marked(layout.dial_mark), ACCEPT),
        (_meta("l4proto"), _compare(b"\x06"), _load(1, u16(layout.port)), redirect),
    )
    return (Chain(name="relay", kind="nat", hook=_LOCAL_OUT, priority=_NAT_PRIORITY, rules=rules),)


def _chain_message(chain: Chain) -> Message:
    hook = nested(4, attribute(1, u32(chain.hook)), attribute(2, u32(chain.priority & 0xFFFFFFFF)))
    body = attribute(1, netlink.text(TABLE)) + attribute(3, netlink.text(chain.name)) + hook
    return _message(_NEWCHAIN, body + attribute(7, netlink.text(chain.kind)))


def _rule_message(chain: Chain, rule: Rule) -> Message:
    names = attribute(1, netlink.text(TABLE)) + attribute(2, netlink.text(chain.name))
    body = names + nested(4, *(expression.encode() for expression in rule))
    return _message(_NEWRULE, body, flags=netlink.NLM_F_APPEND)


def _message(kind: int, body: bytes, *, flags: int = 0) -> Message:
    every = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK | netlink.NLM_F_CREATE
    return Message(kind=kind, flags=every | flags, payload=netlink.netfilter(family=_NFPROTO_INET, body=body))


def _batch(kind: int) -> Message:
    return Message(kind=kind, payload=netlink.netfilter(resource=NFNL_SUBSYS_NFTABLES))


def messages(chains: tuple[Chain, ...]) -> tuple[Message, ...]:
    """Return the batch that makes the table: all of it or nothing. Sequence numbers count from 1."""
    batch = [_batch(_BATCH_BEGIN), _message(_NEWTABLE, attribute(1, netlink.text(TABLE)))]
    for chain in chains:
        batch.append(_chain_message(chain))
        batch += [_rule_message(chain, rule) for rule in chain.rules]
    batch.append(_batch(_BATCH_END))
    return tuple(
        Message(kind=one.kind, flags=one.flags, sequence=number, payload=one.payload)
        for number, one in enumerate(batch, 1)
    )


def chains(batch: tuple[Message, ...]) -> tuple[Chain, ...]:
    """Read the chains back from their messages: the inverse of `messages`."""
    found: dict[str, Chain] = {}
    rules: dict[str, list[Rule]] = {}
    for message in batch:
        fields = dict(netlink.netfilter_body(message.payload)[2])
        if message.kind == _NEWCHAIN:
            hook = dict(netlink.attributes(fields[4]))
            name = _string(fields[3])
            found[name] = Chain(
                name=name, kind=_string(fields[7]), hook=_number(hook[1]), priority=_signed(hook[2]), rules=()
            )
        elif message.kind == _NEWRULE:
            rules.setdefault(_string(fields[2]), []).append(tuple(_expressions(fields[4])))
    return tuple(
        Chain(name=one.name, kind=one.kind, hook=one.hook, priority=one.priority, rules=tuple(rules[name]))
        for name, one in found.items()
    )


def _expressions(data: bytes) -> Iterator[Expression]:
    for _kind, element in netlink.attributes(data):
        fields = dict(netlink.attributes(element))
        yield Expression(_string(fields[1]), netlink.attributes(fields[2]))


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _verdict_or_value(value: bytes) -> str:
    ((kind, content),) = netlink.attributes(value)
    return "accept" if kind == 2 else content.hex()  # noqa: PLR2004 - NFTA_DATA_VERDICT


_TEXT: Final[dict[str, Callable[[dict[int, bytes]], str]]] = {
    "meta": lambda at: f"meta {({number: key for key, number in _META.items()})[_number(at[2])]}",
    "cmp": lambda at: f"{('==', '!=')[_number(at[2])]} {_verdict_or_value(at[3])}",
    "payload": lambda at: (
        f"{('', 'network', 'transport')[_number(at[2])]}[{_number(at[3])}:{_number(at[3]) + _number(at[4])}]"
    ),
    "bitwise": lambda at: f"& {_verdict_or_value(at[4])}",
    "immediate": lambda at: (
        f"load {_number(at[1])} {_verdict_or_value(at[2])}" if _number(at[1]) else _verdict_or_value(at[2])
    ),
    "socket": lambda _: "socket listens",
    "reject": lambda _: "reject tcp reset",
    "tproxy": lambda at: f"tproxy family {_number(at[1])}",
    "queue": lambda at: f"queue {_number(at[1])} flags {_number(at[3])}",
    "target": lambda at: f"xt {_string(at[1])} {at[3].hex()}",
    "redir": lambda _: "redirect",
}


def render(table: tuple[Chain, ...]) -> str:
    """Return the chains as text for people and golden files."""
    lines = []
    for chain in table:
        lines.append(f"chain {chain.name} {chain.kind} hook {chain.hook} priority {chain.priority}")
        lines += ["  " + " ".join(map(_render_expression, rule)) for rule in chain.rules]
    return "\n".join(lines) + "\n"


def _render_expression(expression: Expression) -> str:
    try:
        return _TEXT[expression.name](dict(expression.attributes))
    except (KeyError, IndexError, ValueError) as error:
        raise ProtocolError(f"nft expression {expression.name!r} can't be read: {error}") from error
