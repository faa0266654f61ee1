"""Bodies that are changed on their way, through the running relay: both directions, every framing, every end."""

import socket
from typing import Any

import pytest
from relay_lab import Handler, Lab, Script, read_all, read_exactly, read_head, server

from kecs.aws.head import Answer, Fields, RequestHead, ResponseHead
from kecs.core.errors import ProtocolError
from kecs.relay.decide import Address, Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n" + HOST + b"\r\n"
LENGTH = [b"HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 6\r\n\r\nab", b"cdef"]
CHUNKED = [
    b"HTTP/1.1 200 Fine\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2;x=y\r\nab\r\n4\r\ncd",
    b"ef\r\n0\r\nX-Sum: 1\r\n\r\n",
]
CLOSED = [b"HTTP/1.1 200 Fine\r\nX-A: b\r\n\r\nabc", b"def"]
FRAMINGS = [
    pytest.param(LENGTH, id="length"),
    pytest.param(CHUNKED, id="chunked"),
    pytest.param(CLOSED, id="until the end of the connection"),
]


class Doubling:
    """A filter whose output is longer, and which holds its last byte back."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        whole = self._held + data
        self._held = whole[-1:]
        return b"".join(whole[i : i + 1] * 2 for i in range(len(whole) - 1))

    def end(self) -> bytes:
        return self._held * 2 + b"!"


def upper(head: ResponseHead, body: bytes) -> Answer:
    return Answer(status=head.status, fields=head.fields, body=body.upper() + b"++")


def script(address: Address, **options: Any) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port), **options)


def saying(pieces: list[bytes], seen: list[bytes] | None = None) -> Handler:
    def handle(sock: socket.socket) -> None:
        held = bytearray()
        while head := read_head(sock, held):
            if seen is not None:
                seen.append(head)
            for piece in pieces:
                sock.sendall(piece)
            if pieces is CLOSED:
                return

    return handle


def exchanged(lab: Lab, request: bytes) -> bytes:
    with lab.connect() as sock:
        sock.sendall(request)
        return read_all(sock)


@pytest.mark.parametrize("pieces", FRAMINGS)
@pytest.mark.parametrize("asked", [GET, OLD])
def test_a_body_is_collected_and_what_the_client_gets_has_its_length(pieces: list[bytes], asked: bytes) -> None:
    if asked is OLD and pieces is CHUNKED:
        pieces = LENGTH  # no server sends chunks to HTTP/1.0; the relay refuses them
    with server(saying(pieces)) as address, Lab(script(address, gathers=6, rewritten=upper)) as lab:
        got = exchanged(lab, asked)
        assert got == b"HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 8\r\nConnection: close\r\n\r\nABCDEF++"
        lab.script.wait(lambda s: len(s.exchanges) == 1)
        assert lab.script.exchanges[0].response_bytes == 8
        assert lab.relay.counters["bodies_gathered"] == 1


@pytest.mark.parametrize("pieces", FRAMINGS)
def test_a_longer_body_streams_through_a_filter(pieces: list[bytes]) -> None:
    with server(saying(pieces)) as address, Lab(script(address, gathers=3, through=Doubling)) as lab:
        with lab.connect() as sock:
            sock.sendall(GET)
            held = bytearray()
            head = read_head(sock, held)
            body = bytes(held) + read_all(sock)
        assert head == b"HTTP/1.1 200 Fine\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        assert dechunked(body) == b"aabbccddeeff!"
        assert lab.script.outgrown[0] == b"abcdef"[: len(lab.script.outgrown[0])]
        assert lab.relay.counters["bodies_filtered"] == 1


@pytest.mark.parametrize("pieces", [LENGTH, CLOSED])
def test_a_filtered_body_ends_with_an_old_clients_connection(pieces: list[bytes]) -> None:
    with server(saying(pieces)) as address, Lab(script(address, gathers=3, through=Doubling)) as lab:
        got = exchanged(lab, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n")
        assert got == b"HTTP/1.1 200 Fine\r\nX-A: b\r\nConnection: close\r\n\r\naabbccddeeff!"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (LENGTH, b"HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"),
        (CHUNKED, b"HTTP/1.1 200 Fine\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"),
        (CLOSED, b"HTTP/1.1 200 Fine\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"),
    ],
)
def test_a_longer_body_without_a_filter_passes_as_it_is(pieces: list[bytes], expected: bytes) -> None:
    with server(saying(pieces)) as address, Lab(script(address, gathers=3)) as lab:
        got = exchanged(lab, GET)
        assert got.startswith(expected)
        rest = got.removeprefix(expected)
        assert (rest if pieces is LENGTH else dechunked(rest)) == b"abcdef"
        assert lab.relay.counters["bodies_too_long"] == 1


def dechunked(data: bytes) -> bytes:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            assert data == b"\r\n"
            return body
        body += data[:count]
        assert data[count : count + 2] == b"\r\n"
        data = data[count + 2 :]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_where_there_is_no_body_the_head_goes_as_it_is(said: bytes) -> None:
    with server(saying([said])) as address, Lab(script(address, gathers=9, rewritten=upper)) as lab:
        with lab.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert read_exactly(sock, len(said)) == said
        assert lab.relay.counters["bodies_gathered"] == 0


def test_both_connections_are_kept_after_a_collected_body() -> None:
    seen: list[bytes] = []
    with server(saying(LENGTH, seen)) as address, Lab(script(address, gathers=6, rewritten=upper)) as lab:
        with lab.connect() as sock:
            for _ in range(3):
                sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
                held = bytearray()
                read_head(sock, held)
                assert read_exactly(sock, 8, held) == b"ABCDEF++"
        assert lab.relay.counters["upstream_dialled"] == 1
        assert len(seen) == 3


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", id="ends too early"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", id="no chunk size"),
    ],
)
def test_what_breaks_while_it_is_collected_is_answered_as_an_error(said: bytes) -> None:
    def handle(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(said)

    with server(handle) as address, Lab(script(address, gathers=99)) as lab:
        assert exchanged(lab, GET).startswith(b"HTTP/1.1 503 ")


def test_what_breaks_while_it_is_filtered_breaks_off() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"

    def handle(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(said)

    with server(handle) as address, Lab(script(address, gathers=1, through=Doubling)) as lab:
        got = exchanged(lab, GET)
        assert not got.endswith(b"0\r\n\r\n")
        lab.script.wait(lambda s: len(s.exchanges) == 1)
        assert lab.script.exchanges[0].reason == "upstream_invalid_response"


class Refusing:
    """A filter that finds a body not to be what it says."""

    def __init__(self, *, at_end: bool) -> None:
        self._at_end = at_end

    def feed(self, data: bytes) -> bytes:
        if not self._at_end:
            raise ProtocolError("it is no gzip", status=502)
        return data

    def end(self) -> bytes:
        raise ProtocolError("it ends too early", status=502)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("pieces", FRAMINGS)
def test_what_a_filter_refuses_is_broken_off(pieces: list[bytes], *, at_end: bool) -> None:
    filtered = script(Address("", 0), gathers=3, through=lambda: Refusing(at_end=at_end))
    with server(saying(pieces)) as address, Lab(filtered) as lab:
        lab.script.upstream = Upstream(host=address.host, port=address.port)
        assert not exchanged(lab, GET).endswith(b"0\r\n\r\n")
        lab.script.wait(lambda s: len(s.exchanges) == 1)
        assert lab.script.exchanges[0].reason == "upstream_invalid_response"
        assert lab.relay.counters["internal_errors"] == 0


# requests


def echo(sock: socket.socket) -> None:
    held = bytearray()
    while head := read_head(sock, held):
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        body = read_exactly(sock, length, held)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head + body), head + body))


@pytest.mark.parametrize(
    ("request_", "shown", "whole"),
    [
        (b"Content-Length: 4\r\n\r\nabcd", b"abcd", True),
        (b"Content-Length: 5\r\n\r\nabcde", b"abcde", True),
        (b"Content-Length: 6\r\n\r\nabcdef", b"abcde", False),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", b"abcd", True),
        (b"Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n", b"abcde", False),
        (b"\r\n", b"", True),
    ],
)
def test_the_decider_learns_whether_it_saw_the_whole_body(request_: bytes, shown: bytes, *, whole: bool) -> None:
    with server(saying([b"HTTP/1.1 204 X\r\n\r\n"])) as address, Lab(script(address, wants=5)) as lab:
        with lab.connect() as sock:
            sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + request_)
            read_head(sock, bytearray())
        assert lab.script.shown == [shown]
        assert lab.script.wholes == [whole]


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 4\r\n\r\nabcd",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("body", [b"", b"other", b"x" * 100_000])
def test_a_request_gets_another_body(sent: bytes, body: bytes) -> None:
    fields: Fields = ((b"Host", b"here"), (b"Content-Length", b"%d" % len(body)))

    def replaced(old: bytes) -> tuple[RequestHead, bytes]:
        assert old == b"abcd"
        return RequestHead(method=b"PUT", target=b"/new", fields=fields), body

    with server(echo) as address, Lab(script(address, wants=1000, replaced=replaced)) as lab:
        expected = b"PUT /new HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with lab.connect() as sock:
            for _ in range(2):  # the second time on a kept connection
                sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + sent)
                held = bytearray()
                read_head(sock, held)
                assert read_exactly(sock, len(expected), held) == expected


def test_a_body_that_was_not_shown_whole_is_never_replaced() -> None:
    def replaced(old: bytes) -> tuple[RequestHead, bytes]:
        return RequestHead(method=b"PUT", target=b"/new", fields=((b"Host", b"here"),)), old

    with server(echo) as address, Lab(script(address, wants=2, replaced=replaced)) as lab:
        lab.call(lambda: lab.loop.set_exception_handler(lambda *_: None))
        assert exchanged(lab, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nabcd") == b""
