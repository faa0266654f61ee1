"""The DNS forwarder: AWS names are answered, everything else is forwarded as it came."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.hosts import is_aws_name
from kecs.core.names import SYNTHETIC_RANGE
from kecs.sidecar import dns_stream
from kecs.sidecar.dns import DnsForwarder, Resolvers, bind
from kecs.sidecar.dns_names import Allocator, is_query, reply_to

S3 = "s3.eu-west-1.amazonaws.com"


def ask(name: str, kind: str = "A") -> dns.message.Message:
    return dns.message.make_query(name, kind)


def replied(query: dns.message.Message, allocator: Allocator) -> dns.message.Message:
    raw = reply_to(query.to_wire(), allocator, is_aws_name)
    assert raw is not None
    reply = dns.message.from_wire(raw)
    assert query.is_response(reply)
    return reply


def test_an_aws_name_gets_an_address_and_keeps_it() -> None:
    allocator = Allocator()
    first = replied(ask(S3), allocator)
    assert first.rcode() == dns.rcode.NOERROR
    assert first.answer[0].ttl == 30
    address = first.answer[0][0].to_text()
    assert ip_address(address) in ip_network(SYNTHETIC_RANGE)
    assert allocator.name_of(address) == S3
    assert replied(ask(S3.upper() + "."), allocator).answer[0][0].to_text() == address
    other = replied(ask("sqs.eu-west-1.amazonaws.com"), allocator).answer[0][0].to_text()
    assert other != address


@pytest.mark.parametrize("kind", ["AAAA", "HTTPS", "SVCB", "MX", "TXT", "CNAME"])
def test_an_aws_name_has_nothing_else(kind: str) -> None:
    reply = replied(ask(S3, kind), Allocator())
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.answer == []


@pytest.mark.parametrize("name", ["example.com", "amazonaws.com.example.com", "amazonaws.co", "."])
def test_other_names_are_forwarded(name: str) -> None:
    assert reply_to(ask(name).to_wire(), Allocator(), is_aws_name) is None


SEARCH = ("demo.svc.cluster.local", "corp.example")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param(f"{S3}.demo.svc.cluster.local", dns.rcode.NXDOMAIN, id="below the namespace's domain"),
        pytest.param(f"{S3.upper()}.Corp.Example", dns.rcode.NXDOMAIN, id="in any case"),
        pytest.param(S3, dns.rcode.NOERROR, id="as it is"),
        pytest.param("emulator.demo.svc.cluster.local", None, id="another name there"),
        pytest.param(f"{S3}.cluster.local", None, id="below a domain that is not searched"),
        pytest.param(f"{S3}corp.example", None, id="another domain"),
    ],
)
def test_aws_names_are_not_looked_for_in_the_search_list(name: str, code: dns.rcode.Rcode | None) -> None:
    raw = reply_to(ask(name).to_wire(), Allocator(), is_aws_name, SEARCH)
    assert (dns.message.from_wire(raw).rcode() if raw else None) == code


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("nameserver 10.0.0.1\n", []),
        ("search a.example. B.example\nnameserver 10.0.0.1\n", ["a.example", "b.example"]),
        ("search a.example\ndomain c.example\n", ["c.example"]),
        ("search .\n", []),
        ("search\n", []),
    ],
)
def test_the_search_list_is_the_machines(text: str, domains: list[str], tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert Resolvers(path).search() == []
    path.write_text(text)
    assert Resolvers(path).search() == domains


def test_the_forwarder_reads_the_search_list(tmp_path: Path) -> None:
    raw, counters = run(ask(f"{S3}.demo.example").to_wire(), "search demo.example\n", tmp_path)
    assert dns.message.from_wire(raw).rcode() == dns.rcode.NXDOMAIN
    assert counters == {"answered": 1, "forwarded": 0, "failed": 0, "dropped": 0}


def test_a_full_range_gives_no_more_addresses_and_forgets_none() -> None:
    allocator = Allocator("198.19.0.0/29", limit=99)
    given_out = [allocator.address_of(f"{index}.amazonaws.com") for index in range(8)]
    assert len(allocator) == 6
    assert given_out[6:] == [None, None]
    assert allocator.address_of("0.amazonaws.com") == given_out[0]
    assert replied(ask("9.amazonaws.com"), allocator).rcode() == dns.rcode.SERVFAIL


@given(st.binary(max_size=600))
def test_any_bytes_get_a_reply_or_none(data: bytes) -> None:
    if is_query(data):
        reply = reply_to(data, Allocator(), is_aws_name)
        assert reply is None or (reply[:2] == data[:2] and not is_query(reply))


@given(st.data())
def test_a_damaged_query_gets_a_reply_or_none(data: st.DataObject) -> None:
    wire = bytearray(ask(S3).to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    if is_query(cut):
        reply = reply_to(cut, Allocator(), is_aws_name)
        assert reply is None or not is_query(reply)


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9), max_size=50))
def test_names_and_addresses_are_one_to_one(names: list[str]) -> None:
    allocator = Allocator()
    addresses = {name: allocator.address_of(name) for name in names}
    assert len(set(addresses.values())) == len(addresses)
    assert all(address is not None and allocator.name_of(address) == name for name, address in addresses.items())


@contextmanager
def resolver(answer: Callable[[bytes], bytes | None], host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A resolver that answers from a thread; ends on an empty datagram."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind((host, port))

        def serve() -> None:
            while data := sock.recvfrom(4096):
                if not data[0]:
                    return
                reply = answer(data[0])
                if reply is not None:
                    sock.sendto(reply, data[1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as end:
                end.sendto(b"", sock.getsockname())
            thread.join()


def answering(address: str) -> Callable[[bytes], bytes]:
    def answer(data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AD
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 7, "IN", "A", address))
        return reply.to_wire()

    return answer


async def exchange(query: bytes, host: str, forwarder: Callable[[socket.socket], DnsForwarder]) -> tuple[bytes, object]:
    loop = asyncio.get_running_loop()
    server = bind(host, 0)
    where = server.getsockname()[:2]
    made = forwarder(server)
    made.start()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) as client:
            await loop.sock_connect(client, ("127.0.0.2" if host == "0.0.0.0" else host, where[1]))
            await loop.sock_sendall(client, query)
            async with asyncio.timeout(10):
                return await loop.sock_recv(client, 4096), made.counters
    finally:
        made.close()


def run(query: bytes, text: str, tmp_path: Path, *, host: str = "127.0.0.1", port: int = 53) -> tuple[bytes, object]:
    path = tmp_path / "resolv.conf"
    path.write_text(text)

    def forwarder(sock: socket.socket) -> DnsForwarder:
        loop = asyncio.get_running_loop()
        return DnsForwarder(loop, [sock], Allocator(), resolvers=Resolvers(path), timeout_s=0.05, port=port)

    return asyncio.run(exchange(query, host, forwarder))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_the_answer_comes_from_the_address_that_was_asked(host: str, tmp_path: Path) -> None:
    """A connected client socket takes nothing from any other address: 127.0.0.2 when bound to all."""
    raw, _ = run(ask(S3).to_wire(), "", tmp_path, host="::1" if host == "::" else host)
    assert dns.message.from_wire(raw).answer[0][0].to_text() == "198.19.0.1"


def test_other_names_are_answered_by_the_machines_resolver_byte_for_byte(tmp_path: Path) -> None:
    query = ask("example.com").to_wire()
    with resolver(answering("203.0.113.9")) as port:
        raw, _ = run(query, "nameserver 127.0.0.1\n", tmp_path, port=port)
    assert raw == answering("203.0.113.9")(query)


def test_a_resolver_that_is_silent_or_dead_is_left_for_the_next(tmp_path: Path) -> None:
    query = ask("example.com").to_wire()
    text = "# ours\nnameserver 127.0.0.3\nnameserver no.address\nnameserver 127.0.0.2\nnameserver 127.0.0.1\n"
    with resolver(lambda _: None) as port, resolver(answering("203.0.113.9"), "127.0.0.2", port):
        raw, _ = run(query, text.replace("no.address", "127.0.0.1"), tmp_path, port=port)
    assert raw == answering("203.0.113.9")(query)


@pytest.mark.parametrize("text", ["nameserver 127.0.0.3\n", "nameserver nonsense\n", "options edns0\n"])
def test_without_any_resolver_it_is_a_server_failure(text: str, tmp_path: Path) -> None:
    query = ask("example.com")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as unused:
        unused.bind(("127.0.0.9", 0))
        raw, counters = run(query.to_wire(), text, tmp_path, port=unused.getsockname()[1])
    reply = dns.message.from_wire(raw)
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert query.is_response(reply)
    assert counters == {"answered": 0, "forwarded": 0, "failed": 1, "dropped": 0}


def test_a_reply_with_another_id_is_not_taken(tmp_path: Path) -> None:
    query = ask("example.com").to_wire()

    def forged(data: bytes) -> bytes:
        return bytes([data[0] ^ 1]) + answering("203.0.113.66")(data)[1:]

    with resolver(forged) as port:
        raw, _ = run(query, "nameserver 127.0.0.1\n", tmp_path, port=port)
    assert dns.message.from_wire(raw).rcode() == dns.rcode.SERVFAIL


def over_tcp(*queries: bytes, servers: tuple[str, ...] = (), port: int = 53) -> list[bytes]:
    """Send queries one after the other over one connection, then end; returns the replies."""

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        client, server = socket.socketpair()
        with client:
            for one in (client, server):
                one.settimeout(0)
            task = loop.create_task(
                dns_stream.serve(
                    server, Allocator(), intercepted=is_aws_name, servers=lambda: servers, port=port, timeout_s=1
                )
            )
            for query in queries:
                await loop.sock_sendall(client, len(query).to_bytes(2) + query)
            client.shutdown(socket.SHUT_WR)
            found = b""
            with contextlib.suppress(ConnectionResetError):  # it has ended without reading everything
                while piece := await loop.sock_recv(client, 4096):
                    found += piece
            await task
            return found

    raw, replies = asyncio.run(talk()), []
    while raw:
        size = int.from_bytes(raw[:2])
        replies.append(raw[2 : 2 + size])
        raw = raw[2 + size :]
    return replies


def test_over_tcp_aws_names_are_answered_and_others_fail_without_a_resolver() -> None:
    aws, other = ask(S3), ask("example.com")
    first, second, third = map(dns.message.from_wire, over_tcp(aws.to_wire(), other.to_wire(), aws.to_wire()))
    assert aws.is_response(first)
    assert first.answer[0][0].to_text() == third.answer[0][0].to_text() == "198.19.0.1"
    assert (second.id, second.rcode()) == (other.id, dns.rcode.SERVFAIL)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", id="another protocol"),
        pytest.param(b"\0\x0c" + b"\xff" * 12, id="an answer to another query"),
        pytest.param(b"\0", id="cut short"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_over_tcp_what_is_no_answer_is_not_handed_on(said: bytes) -> None:
    query = dns.message.make_query("example.com", "A", id=7)

    def answer(listener: socket.socket) -> None:
        client, _address = listener.accept()
        with client:
            client.recv(4096)
            client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        (raw,) = over_tcp(query.to_wire(), servers=("127.0.0.1",), port=listener.getsockname()[1])
        thread.join()
    reply = dns.message.from_wire(raw)
    assert (reply.id, reply.rcode()) == (7, dns.rcode.SERVFAIL)


@pytest.mark.parametrize("garbage", [b"", b"x", b"\0" * 11, bytes([0, 0, 0x80]) + bytes(20)])
def test_over_tcp_what_is_no_query_ends_the_connection(garbage: bytes) -> None:
    assert over_tcp(garbage, ask(S3).to_wire()) == []


def test_streams_come_from_a_listener_up_to_a_bound() -> None:
    async def talk() -> tuple[list[bytes], dict[str, int]]:
        loop = asyncio.get_running_loop()

        def answering(sock: socket.socket) -> Coroutine[Any, Any, None]:
            return dns_stream.serve(sock, Allocator(), intercepted=is_aws_name, servers=tuple)

        streams, query = dns_stream.DnsStreams(loop, answering, most=1), ask(S3).to_wire()
        listener = socket.create_server(("127.0.0.1", 0))
        streams.listen(listener)
        first, writing = await asyncio.open_connection(*listener.getsockname())
        writing.write(len(query).to_bytes(2) + query)
        said = [await first.read(4096)]
        second, other = await asyncio.open_connection(*listener.getsockname())
        said.append(await second.read(4096))
        streams.close()
        for one in (writing, other):
            one.close()
        assert listener.fileno() == -1
        return said, streams.counters

    (first, second), counters = asyncio.run(talk())
    assert dns.message.from_wire(first[2:]).answer[0][0].to_text() == "198.19.0.1"
    assert (second, counters) == (b"", {"streams_over_limit": 1})
