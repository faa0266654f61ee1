"""What is learned of heads changes nothing: a reader that has seen many reads each as one that has seen none."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.framing import Body, Length, Request, Response
from kecs.relay.templates import RequestReader, ResponseReader

NAMES = ["Host", "Content-Length", "Connection", "X-Amz-Date", "Authorization", "Accept", "Transfer-Encoding", "Expect"]
VALUES = [
    b"3", b"0", b"close", b"keep-alive", b"Keep-Alive", b"x, y", b"h", b"a b", b"", b" ", b" x", b"x ", b"x\t", b"\tx",
    b"+3", b"3 ", b"9" * 19, b"chunked", b"100-continue", b"\xe9", b"\x00", b"a\rb", b"a\nb", b"a\r\nB: c", b"\x7f",
    b"x-amz-date", b"upgrade",
]  # fmt: skip
values = st.sampled_from(VALUES) | st.binary(max_size=6)
firsts = st.sampled_from([
    b"GET / HTTP/1.1", b"PUT /a%20b?c HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"GET / HTTP/1.0", b"FOO / HTTP/1.1",
    b"OPTIONS * HTTP/1.1", b"GET  / HTTP/1.1", b"GET /a b HTTP/1.1", b"get / HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
    b"GET http://h/ HTTP/1.1",
])  # fmt: skip
statuses = st.sampled_from([
    b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 200 ", b"HTTP/1.1 200",
    b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Continue", b"HTTP/1.1 999 Odd", b"HTTP/1.1 20 OK", b"HTTP/2 200",
    b"HTTP/1.1 503 \xe9",
])  # fmt: skip


@st.composite
def heads(draw: st.DrawFn, first: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """Draw a head that teaches, and one of the same names with other values, spelled in another way here and there."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=6))
    teaching = b"".join(b"%b: %b\r\n" % (name.encode(), b"3" if name == "Content-Length" else b"h") for name in names)
    separator = st.sampled_from([b": ", b": ", b": ", b":", b":  ", b" : ", b":\t"])
    other = b"".join(
        (name if draw(st.booleans()) else name.swapcase()).encode() + draw(separator) + draw(values) + b"\r\n"
        for name in names
    )
    extra = draw(st.sampled_from([b"", b"", b"", b"Host: i\r\n", b" folded\r\n", b"X-New: y\r\n"]))
    return teaching + b"\r\n", draw(first) + b"\r\n" + other + extra + b"\r\n"


def spelled(body: Body) -> tuple[str, int]:
    return type(body).__name__, body.left if isinstance(body, Length) else -1


def of_request(read: Callable[[], Request]) -> object:
    """Return all that is read, or how it is refused."""
    try:
        found = read()
    except ProtocolError as error:
        return error.message, error.status
    return (*found[:1], spelled(found.body), *found[2:], found.head.block, found.head.shape.names)


def of_response(read: Callable[[], Response]) -> object:
    """Return all that is read, or how it is refused."""
    try:
        found = read()
    except ProtocolError as error:
        return error.message, error.status
    return (*found[:1], spelled(found.body), *found[2:], found.head.shape.names)


@given(heads(firsts))
@example((b"Host: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"))
def test_a_request_is_read_as_if_nothing_had_been_learned(given_heads: tuple[bytes, bytes]) -> None:
    teaching, raw = given_heads
    reader = RequestReader()
    for _ in range(4):
        of_request(lambda: reader.read(b"GET / HTTP/1.1\r\n" + teaching, fields_max=50))
    expected = of_request(lambda: framing.request(raw, fields_max=50))
    for _ in range(5):
        assert of_request(lambda: reader.read(raw, fields_max=50)) == expected


@given(heads(statuses), st.sampled_from([b"GET", b"HEAD", b"PUT"]))
def test_a_response_is_read_as_if_nothing_had_been_learned(given_heads: tuple[bytes, bytes], method: bytes) -> None:
    teaching, raw = given_heads
    reader = ResponseReader()
    for _ in range(4):
        of_response(lambda: reader.read(b"HTTP/1.1 200 OK\r\n" + teaching, method=b"GET"))
    expected = of_response(lambda: framing.response(raw, method=method))
    for _ in range(5):
        assert of_response(lambda: reader.read(raw, method=method)) == expected


def test_a_template_is_made_of_what_is_met_again_and_again_and_few_are_kept() -> None:
    reader, raw = RequestReader(), b""
    for number in range(20):
        raw = b"GET / HTTP/1.1\r\nHost: h\r\nX-%d: y\r\n\r\n" % number
        for _ in range(5):
            assert reader.read(raw, fields_max=9).head.fields == ((b"Host", b"h"), (b"X-%d" % number, b"y"))
    assert len(reader._templates) == 4
    with pytest.raises(ProtocolError, match="more than 1"):
        reader.read(raw, fields_max=1)
