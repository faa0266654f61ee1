"""Netlink, nftables, iptables and queued packets as bytes and text."""

import os
import struct
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.local import iptables, netlink, nfqueue, nft
from kecs.local.netlink import Message, attribute
from kecs.local.nfqueue import Held, Verdict
from kecs.local.nft import Expression, Layout, Queueing
from kecs.local.packet import Syn, parse_syn
from kecs.relay.decide import Address

GOLDEN = Path(__file__).parent / "golden"
LAYOUT = Layout(own=tuple(map(ip_address, ("198.18.0.1", "fd00:6b65:6373::1", "192.0.2.10", "2001:db8::10"))))


def golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


# --- netlink

kinds = st.integers(0, 0x3FFF)
payloads = st.binary(max_size=64)
MESSAGES = st.lists(
    st.builds(
        Message,
        kind=st.integers(0, 0xFFFF),
        flags=st.integers(0, 0xFFFF),
        sequence=st.integers(0, 0xFFFFFFFF),
        port=st.integers(0, 0xFFFFFFFF),
        payload=payloads,
    )
)


@given(MESSAGES)
def test_messages_are_read_back(messages: list[Message]) -> None:
    assert list(netlink.decode(b"".join(one.encode() for one in messages))) == messages


@given(st.lists(st.tuples(kinds, payloads)))
def test_attributes_are_read_back(wanted: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in wanted)
    assert netlink.attributes(data) == tuple(wanted)
    assert netlink.netfilter_body(netlink.netfilter(family=2, resource=7, body=data)) == (2, 7, tuple(wanted))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_our_error(data: bytes) -> None:
    for read in (
        lambda: list(netlink.decode(data)),
        lambda: netlink.attributes(data),
        lambda: list(nfqueue.held(data)),
    ):
        with suppress(ProtocolError):
            read()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"\x01\x02", "message cut short", id="no whole header"),
        pytest.param(struct.pack("=IHHII", 99, 0, 0, 0, 0), "says 99 bytes, 16 are there", id="longer than the data"),
        pytest.param(struct.pack("=IHHII", 3, 0, 0, 0, 0), "says 3 bytes", id="shorter than its header"),
    ],
)
def test_a_damaged_message_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        list(netlink.decode(data))


def test_an_acknowledgement_and_an_error() -> None:
    assert Message(kind=netlink.NLMSG_ERROR, payload=struct.pack("=i", 0)).error == 0
    assert Message(kind=netlink.NLMSG_ERROR, payload=struct.pack("=i", -2)).error == 2
    assert Message(kind=16, payload=b"").error is None


# --- nftables

TABLES = {
    "tproxy-queue": nft.tproxy_chains(LAYOUT, Queueing.NATIVE),
    "tproxy-xt-queue": nft.tproxy_chains(LAYOUT, Queueing.COMPAT),
    "tproxy-bare": nft.tproxy_chains(LAYOUT, Queueing.NONE),
    "tproxy-ipv4": nft.tproxy_chains(Layout(own=LAYOUT.own[:1], ipv6=False), Queueing.NONE),
    "redirect": nft.redirect_chains(LAYOUT),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_table_reads_as_agreed(name: str) -> None:
    golden(f"nft-{name}.txt", nft.render(TABLES[name]))


@pytest.mark.parametrize("name", TABLES)
def test_the_messages_say_the_table(name: str) -> None:
    batch = nft.messages(TABLES[name])
    wire = b"".join(one.encode() for one in batch)
    assert tuple(netlink.decode(wire)) == batch
    assert nft.chains(tuple(netlink.decode(wire))) == TABLES[name]


def test_the_batch_is_framed_and_numbered() -> None:
    batch = nft.messages(TABLES["redirect"])
    assert (batch[0].kind, batch[-1].kind) == (0x10, 0x11)
    assert [one.sequence for one in batch] == list(range(1, len(batch) + 1))


def test_an_unknown_expression_is_our_error() -> None:
    chain = nft.Chain(name="x", kind="filter", hook=0, priority=0, rules=((Expression("lookup"),),))
    with pytest.raises(ProtocolError, match="'lookup' can't be read"):
        nft.render((chain,))


# --- iptables


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("hold", [True, False], ids=["hold", "bare"])
def test_the_iptables_text_reads_as_agreed(version: int, *, hold: bool) -> None:
    name = f"iptables-{'hold' if hold else 'bare'}-{version}.txt"
    golden(name, iptables.tproxy_text(LAYOUT, version, hold=hold))


def test_the_iptables_redirect_reads_as_agreed() -> None:
    golden("iptables-redirect.txt", iptables.redirect_text(LAYOUT))


# --- queued packets


def tcp(flags: int, *, source: int = 40000, destination: int = 443, sequence: int = 7) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, sequence, 0, 5 << 4, flags, 65535, 0, 0)


def ipv4(segment: bytes, *, protocol: int = 6, fragment: int = 0, options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(segment), 1, fragment, 64, protocol, 0)
    return head + ip_address("198.18.0.1").packed + ip_address("192.0.2.1").packed + options + segment


def ipv6(segment: bytes, *, following: int = 6) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(segment), following, 64)
    return head + ip_address("fd00::1").packed + ip_address("2001:db8::1").packed + segment


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(ipv4(tcp(2)), ("198.18.0.1", "192.0.2.1"), id="IPv4"),
        pytest.param(ipv4(tcp(2), options=bytes(8)), ("198.18.0.1", "192.0.2.1"), id="IPv4 with options"),
        pytest.param(ipv4(tcp(0xC2)), ("198.18.0.1", "192.0.2.1"), id="with ECN"),
        pytest.param(ipv6(tcp(2)), ("fd00::1", "2001:db8::1"), id="IPv6"),
    ],
)
def test_a_syn_is_read(packet: bytes, expected: tuple[str, str]) -> None:
    assert parse_syn(packet) == Syn(Address(expected[0], 40000), Address(expected[1], 443), 7)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ipv4(tcp(0x12)), id="SYN and ACK"),
        pytest.param(ipv4(tcp(0x10)), id="ACK"),
        pytest.param(ipv4(tcp(2), protocol=17), id="UDP"),
        pytest.param(ipv4(tcp(2), fragment=3), id="a later fragment"),
        pytest.param(ipv4(tcp(2))[:30], id="cut before the flags"),
        pytest.param(b"\x41" + ipv4(tcp(2))[1:], id="a header of four bytes"),
        pytest.param(ipv6(tcp(2), following=44), id="IPv6 with extension headers"),
        pytest.param(ipv6(tcp(2))[:39], id="IPv6 cut"),
        pytest.param(b"\x50" + bytes(60), id="no IP"),
    ],
)
def test_anything_else_is_none(packet: bytes) -> None:
    assert parse_syn(packet) is None


@given(st.binary(max_size=128))
def test_any_packet_is_a_syn_or_none(packet: bytes) -> None:
    assert isinstance(parse_syn(packet), Syn | None)


@given(st.data())
def test_a_mutated_syn_is_a_syn_or_none(data: st.DataObject) -> None:
    packet = bytearray(data.draw(st.sampled_from([ipv4(tcp(2)), ipv6(tcp(2)), ipv4(tcp(2), options=bytes(40))])))
    for _ in range(data.draw(st.integers(0, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(parse_syn(bytes(packet[: data.draw(st.integers(0, len(packet)))])), Syn | None)


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.binary(min_size=1, max_size=128)), max_size=4))
def test_queued_packets_are_read(packets: list[tuple[int, bytes]]) -> None:
    wire = b"".join(
        Message(
            kind=3 << 8,
            payload=netlink.netfilter(body=attribute(1, struct.pack("!IHB", number, 8, 0)) + attribute(10, packet)),
        ).encode()
        for number, packet in packets
    )
    other = Message(kind=netlink.NLMSG_ERROR, payload=struct.pack("=i", 0)).encode()
    assert list(nfqueue.held(other + wire)) == [Held(*one) for one in packets]


def test_a_queued_packet_without_its_number_is_refused() -> None:
    with pytest.raises(ProtocolError, match="without its number"):
        list(nfqueue.held(Message(kind=3 << 8, payload=netlink.netfilter()).encode()))


def test_a_verdict_names_packet_decision_and_mark() -> None:
    (message,) = netlink.decode(nfqueue.verdict(5, 77, Verdict.ACCEPT, mark=0x6B650002))
    _family, queue, fields = netlink.netfilter_body(message.payload)
    assert (message.kind, queue) == (0x301, 5)
    assert fields == ((2, struct.pack("!II", 1, 77)), (3, struct.pack("!I", 0x6B650002)))
    (message,) = netlink.decode(nfqueue.verdict(0, 77, Verdict.DROP))
    assert netlink.netfilter_body(message.payload)[2] == ((2, struct.pack("!II", 0, 77)),)


def test_the_queue_is_bound_then_asked_for_the_first_bytes() -> None:
    bind, copy, length = nfqueue.configure(3)
    assert netlink.netfilter_body(bind.payload)[1:] == (3, ((1, b"\x01\0\0\0"),))
    assert netlink.netfilter_body(copy.payload)[2] == ((2, struct.pack("!IB", 128, 2)),)
    assert [one.sequence for one in (bind, copy, length)] == [1, 2, 3]
