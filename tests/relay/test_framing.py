"""Bodies end where they say, however they are cut; heads that could be read in two ways are refused."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.framing import Chunked, Length, NoBody, UntilClose

pieces = st.lists(st.binary(min_size=1, max_size=50), max_size=8)


def chunked(parts: list[bytes], trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(pieces, st.lists(st.integers(1, 60), max_size=20), st.binary(max_size=20))
def test_a_chunked_body_ends_where_it_ends(parts: list[bytes], cuts: list[int], after: bytes) -> None:
    body = chunked(parts, b"X-Sum: 1\r\n")
    stream, position = body + after, 0
    tracker = Chunked()
    tracker.show(10_000)
    for cut in [*cuts, len(stream)]:
        piece = stream[position : position + cut]
        taken = tracker.take(piece)
        position += taken
        if tracker.done:
            break
        assert taken == len(piece)
    assert tracker.done
    assert position == len(body)
    assert bytes(tracker.shown) == b"".join(parts)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1000), st.lists(st.binary(max_size=300), max_size=20))
def test_a_body_of_known_length(length: int, parts: list[bytes]) -> None:
    tracker = Length(length)
    taken = sum(tracker.take(part) for part in parts)
    assert taken == min(length, sum(map(len, parts)))
    assert tracker.done == (taken == length)


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1 2\r\n",
        b"\r\n",
        b"1\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b";a\r\n",
        b"1" * 17 + b"\r\n",
        b"1" * 5000,
        b"0\r\nno field\r\n",
        b"1 \r\n",
        b"0\r\nX : a\r\n",
        b"0\r\nX: a\0\r\n",
        b"0\r\nContent-Length: 3\r\n",
        b"0\r\nTransfer-Encoding: x\r\n",
    ],
    ids=repr,
)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Chunked().take(body)


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(ProtocolError, match="trailers"):
        Chunked().take(b"0\r\n" + b"X: y\r\n" * 10_000)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_chunks_are_a_count_or_our_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert 0 <= Chunked().take(data) <= len(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_head_is_a_request_or_our_error(data: bytes) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + data.replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
    with contextlib.suppress(ProtocolError):
        assert framing.request(raw, fields_max=50).head.method == b"GET"


@pytest.mark.parametrize(
    ("raw", "kind", "keep_alive"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Length, True, id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked, True, id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", UntilClose, False, id="until close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: Close\r\n\r\n", Length, False, id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", Length, False, id="HTTP/1.0"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", Length, True, id="HTTP/1.0 kept"
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", NoBody, True, id="204"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", NoBody, True, id="100"),
    ],
)
def test_response_framing(raw: bytes, kind: type, keep_alive: bool) -> None:  # noqa: FBT001 - a table's column
    response = framing.response(raw, method=b"GET")
    assert type(response.body) is kind
    assert response.keep_alive == keep_alive


def test_what_is_written_is_what_was_read() -> None:
    raw = b"PUT /a%20b?c HTTP/1.1\r\nHost: h\r\nX-ODD-Case:  v \r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    request = framing.request(raw, fields_max=10)
    assert framing.write_request(request.head, upgrade=b"") == (
        b"PUT /a%20b?c HTTP/1.1\r\nHost: h\r\nX-ODD-Case: v\r\nContent-Length: 0\r\n\r\n"
    )
    assert not request.keep_alive


@pytest.mark.parametrize(("data", "start", "end"), [(b"a\r\n\r\nb", 0, 5), (b"a\r\n\r\nb", 4, 5), (b"a\r\n", 0, -1)])
def test_head_end(data: bytes, start: int, end: int) -> None:
    assert framing.head_end(data, start) == end


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"Transfer-Encoding:\r\nContent-Length: 3\r\n", id="an empty coding hides a length"),
        pytest.param(b"Transfer-Encoding:\r\n", id="an empty coding"),
        pytest.param(b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", id="an empty coding before another"),
        pytest.param(b"Content-Length:\r\n", id="an empty length"),
        pytest.param(b"Connection: Host\r\n", id="Host for one hop"),
        pytest.param(b"Connection: close, content-length\r\nContent-Length: 3\r\n", id="Content-Length for one hop"),
        pytest.param(b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", id="coding for one hop"),
        pytest.param(b"Connection: authorization\r\nAuthorization: a\r\n", id="Authorization for one hop"),
        pytest.param(b"Connection: X-Amz-Date\r\nX-Amz-Date: a\r\n", id="a signed field for one hop"),
        pytest.param(b"X(y): z\r\n", id="a name that is no token"),
        pytest.param("X-\u00e9: z\r\n".encode(), id="a name that is not ASCII"),
        pytest.param(b"X y: z\r\n", id="a blank inside a name"),
        pytest.param(b"X: \x01\r\n", id="a control character in a value"),
    ],
)
def test_heads_that_hide_something_are_refused(fields: bytes) -> None:
    with pytest.raises(ProtocolError):
        framing.request(b"POST / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n", fields_max=50)


def test_fields_that_connection_names_stay_on_their_hop() -> None:
    """RFC 9110 section 7.6.1. They go before anybody adds fields of the same name."""
    raw = (
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Foo, keep-alive, TE\r\nX-Foo: a\r\nx-foo: b\r\nTE: trailers\r\n"
        b"Trailer: X-Sum\r\nX-Bar: c\r\n\r\n"
    )
    request = framing.request(raw, fields_max=50)
    assert framing.write_request(request.head, upgrade=b"") == (
        b"GET / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nX-Bar: c\r\n\r\n"
    )
    said = framing.response(
        b"HTTP/1.1 200 OK\r\nConnection: X-Foo\r\nX-Foo: a\r\nContent-Length: 0\r\n\r\n", method=b"GET"
    )
    assert framing.write_response(said.head) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        pytest.param(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"websocket", id="WebSocket"),
        pytest.param(b"Upgrade: websocket\r\n", b"", id="not nominated"),
        pytest.param(b"Connection: Upgrade\r\n", b"", id="nothing named"),
        pytest.param(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", b"", id="h2c"),
        pytest.param(b"Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n", b"", id="h2c among others"),
        pytest.param(b"Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: h2c\r\n", b"", id="h2c in a second field"),
        pytest.param(b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", b"", id="TLS"),
    ],
)
def test_upgrades_that_would_hide_further_requests_are_not_passed_on(fields: bytes, upgrade: bytes) -> None:
    """Java's HttpClient asks for h2c on every plain connection; a backend that agreed would be out of sight."""
    request = framing.request(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n", fields_max=50)
    assert request.upgrade == upgrade
    tail = b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" if upgrade else b"\r\n"
    assert framing.write_request(request.head, upgrade=upgrade) == b"GET / HTTP/1.1\r\nHost: h\r\n" + tail


def test_an_http_1_0_response_with_a_coding_ends_its_connection() -> None:
    """RFC 9112 section 6.1: such framing counts as faulty."""
    raw = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert not framing.response(raw, method=b"GET").keep_alive


def test_an_http_1_0_request_does_not_expect() -> None:
    """RFC 9110 section 10.1.1."""
    raw = b"PUT / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    request = framing.request(raw, fields_max=50)
    assert not request.expects_continue
    assert framing.write_request(request.head, upgrade=b"", http_1_0=True).startswith(b"PUT / HTTP/1.0\r\nHost: h\r\n")
