"""HTTP/2 as clients of streaming services speak it, and as attackers do."""

import contextlib
import socket
import threading

import h2.errors
import pytest
from engine_lab import OK, OURS, S3, Backend, Http2, Raw, backend, engine
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame
from sidecar_service_lab import PATIENCE_S

from kecs.sidecar.engine_http2 import STREAM_WINDOW, STREAMS_MAX, Allowance

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n"


def answer(behind: Backend) -> str:
    got = behind.accept()
    head = got.head()
    got.send(OK)
    return head


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_events_come_one_by_one_while_the_request_goes_on() -> None:
    """Transcribe's and Lex' streams: audio goes up while transcripts come down."""
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("POST", "/stream-transcription", ("content-type", "application/vnd.amazon.eventstream"))
        got = behind.accept()
        assert "transfer-encoding: chunked" in got.head().lower()
        got.send(CHUNKED)
        client.until(lambda: client.replies[stream].status == 200)
        for number in range(50):
            said = b"audio %d " % number * 100
            client.data(stream, said)
            assert got.chunk() == said
            got.send(chunk(b"transcript %d;" % number))
            client.until(lambda: client.replies[stream].body.endswith(b"transcript %d;" % number))  # noqa: B023 - at once
        client.data(stream, b"", end=True)
        assert got.chunk() == b""
        got.send(b"0\r\n\r\n")
        assert client.reply(stream).reset is None


def test_both_directions_may_be_full_at_the_same_time() -> None:
    """An echo of more than all buffers hold: whoever waits for one direction before it serves the other hangs."""
    size = 24 << 20
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("POST", "/echo", ("content-length", str(size)))
        got = behind.accept()
        got.head()

        def echo() -> None:
            got.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            left = size
            while left:
                data = got.exactly(min(1 << 16, left))
                left -= len(data)
                got.send(data)

        echoing = threading.Thread(target=echo)
        echoing.start()
        client.data(stream, bytes(size), end=True)
        reply = client.reply(stream)
        echoing.join()
        assert len(reply.body) == size
        assert (reply.ended, reply.reset) == (True, None)


def test_a_hundred_streams_at_once_and_no_more() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        client.settled()
        assert client.h2.remote_settings.max_concurrent_streams == STREAMS_MAX
        assert client.h2.remote_settings.initial_window_size == STREAM_WINDOW
        streams = [client.open("POST", f"/{number}") for number in range(STREAMS_MAX)]
        held = [behind.accept() for _ in streams]
        by_path = {one.head().split()[1]: one for one in held}
        for number, stream in enumerate(streams):
            client.fill(stream) if number < 3 else client.data(stream, b"x")
        last = streams[-1]
        client.data(last, b"", end=True)
        by_path[f"/{STREAMS_MAX - 1}"].send(OK)
        assert client.reply(last).body == b"ok"


def test_a_client_that_cancels_ends_what_was_asked_for_it() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("POST", "/k", ("content-length", "10"))
        client.data(stream, b"begin")
        got = behind.accept()
        got.head()
        assert got.exactly(5) == b"begin"
        other = client.open("GET", "/other", end=True)
        client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        assert got.rest() == b""
        assert answer(behind).startswith("GET /other ")
        assert client.reply(other).body == b"ok"


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf!\r\n",
    ],
    ids=["by length", "in chunks"],
)
def test_a_response_that_is_cut_off_is_no_whole_one(cut: bytes) -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("GET", "/k", end=True)
        got = behind.accept()
        got.head()
        got.send(cut)
        got.sock.shutdown(socket.SHUT_WR)
        reply = client.reply(stream)
        assert (reply.status, reply.ended) == (200, False)
        assert reply.reset == h2.errors.ErrorCodes.INTERNAL_ERROR
        other = client.open("GET", "/other", end=True)
        answer(behind)
        assert client.reply(other).body == b"ok"


def test_a_head_of_60_kb_arrives() -> None:
    token = "t" * 60_000
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("GET", "/k", ("x-amz-security-token", token), end=True)
        assert f"x-amz-security-token: {token}\r\n" in answer(behind)
        assert client.reply(stream).body == b"ok"


def test_fields_become_those_of_http_1() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open(
            "GET", "/a%2Fb?x=%20", ("cookie", "a=1"), ("cookie", "b=2"), ("x-twice", "1"), ("x-twice", "2"),
            ("te", "trailers"), end=True, host=f"{S3}:443",
        )  # fmt: skip
        head = answer(behind)
        client.reply(stream)
    lines = head.rstrip().split("\r\n")
    assert lines[0] == "GET /a%2Fb?x=%20 HTTP/1.1"
    assert f"Host: {S3}:443" in lines
    assert "cookie: a=1; b=2" in lines
    assert [line for line in lines if line.startswith("x-twice")] == ["x-twice: 1", "x-twice: 2"]
    assert "Connection: TE" in lines
    assert "te: trailers" in lines
    assert not any("transfer-encoding" in line.lower() for line in lines)


def test_responses_of_http_1_become_those_of_http_2() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("GET", "/k", end=True)
        got = behind.accept()
        got.head()
        got.send(
            b"HTTP/1.1 200 OK\r\nX-Amz-Request-Id: 1\r\nConnection: close, x-hop\r\nKeep-Alive: timeout=5\r\n"
            b"Transfer-Encoding: chunked\r\nSet-Cookie: a\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        )
        reply = client.reply(stream)
    assert reply.fields == {"x-amz-request-id": "1", "set-cookie": "a"}
    assert reply.body == b"ok"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_responses_without_a_body_end_at_once(method: str, status: int) -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open(method, "/k", end=True)
        got = behind.accept()
        got.head()
        got.send(b"HTTP/1.1 %d X\r\nETag: x\r\n\r\n" % status)
        reply = client.reply(stream)
        assert (reply.status, bytes(reply.body), reply.reset) == (status, b"", None)


def test_a_response_to_head_has_a_length_and_no_body() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("HEAD", "/k", end=True)
        got = behind.accept()
        got.head()
        got.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
        reply = client.reply(stream)
        assert reply.fields["content-length"] == "5000000"
        assert not reply.body


def test_streams_are_finished_and_no_others_begun_when_the_engine_leaves() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        stream = client.open("GET", "/k", end=True)
        got = behind.accept()
        got.head()
        (handler,) = arm.handlers
        arm.call(handler.leave)
        late = client.open("GET", "/late", end=True)
        # h2 takes nothing for open after a GOAWAY: its frames are read here as they come
        got.send(OK)
        seen = frames(client.sock)
    kinds = [kind for kind, _, _ in seen]
    assert kinds.count(7) == 1
    assert next(body for kind, _, body in seen if kind == 7) == stream.to_bytes(4) + bytes(4)
    assert (3, late, int(h2.errors.ErrorCodes.REFUSED_STREAM).to_bytes(4)) in seen
    assert (0, stream, b"ok") in seen


def frames(sock: socket.socket) -> list[tuple[int, int, bytes]]:
    """Read to the end: type, stream and payload of each."""
    raw, found = Raw(sock).rest(), []
    while raw:
        size, kind, stream = int.from_bytes(raw[:3]), raw[3], int.from_bytes(raw[5:9])
        found.append((kind, stream, raw[9 : 9 + size]))
        raw = raw[9 + size :]
    return found


def test_an_idle_client_is_told_to_leave_at_once() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client, first = arm.http2(), arm.http1()
        client.settled()
        first.send(f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
        answer(behind)
        first.head()
        assert first.exactly(2) == b"ok"
        for handler in arm.handlers:
            arm.call(handler.leave)
        client.rest()
        assert client.gone == 0
        assert first.rest() == b""


def test_http_1_is_closed_after_the_request_when_the_engine_leaves() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        first = arm.http1()
        first.send(f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
        got = behind.accept()
        got.head()
        arm.call(arm.handlers[0].leave)
        got.send(OK)
        assert "connection: close" in first.head().lower()
        assert first.rest() == b"ok"


def ended_with(client: Http2) -> int | None:
    client.rest()
    return client.gone


def test_resets_without_end_are_stopped() -> None:
    """CVE-2023-44487: each costs the client two frames, and the server a request."""
    with backend() as behind, engine(OURS, behind.port) as arm:
        serving = threading.Thread(target=drop_all, args=(behind,))
        serving.start()
        client = arm.http2()
        try:
            for _ in range(3000):
                stream = client.h2.get_next_available_stream_id()
                head = [(":method", "GET"), (":scheme", "https"), (":authority", S3), (":path", "/")]
                client.h2.send_headers(stream, head, end_stream=True)
                client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                client.flush()
        except OSError:
            pass  # it has been stopped already
        assert ended_with(client) in {h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None}
        behind.listener.shutdown(socket.SHUT_RDWR)
        serving.join()
        assert len(behind.accepted) < 3000


def drop_all(behind: Backend) -> None:
    while True:
        try:
            behind.accept()
        except OSError:
            return


def test_an_allowance_comes_back_with_time() -> None:
    now = [0.0]
    allowance = Allowance(2, 1.0, lambda: now[0])
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now[0] = 1.0
    assert not allowance.take()
    now[0] = 100.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_a_head_in_pieces_without_end_is_stopped() -> None:
    """CVE-2024-27983 and its like: CONTINUATION frames that never end a head."""
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        client.settled()
        first = HeadersFrame(1, b"\x82")
        client.sock.sendall(first.serialize())
        piece = ContinuationFrame(1, bytes(1000)).serialize()
        try:
            for _ in range(1000):
                client.sock.sendall(piece)
        except OSError:
            pass  # it has been stopped already
        client.rest()
        arm.call(int)
        assert behind.nobody_waits()
        assert arm.crashes.none()


def test_a_head_that_swells_is_stopped() -> None:
    """HPACK names a long field in one byte, again and again."""
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        client.settled()
        value = b"v" * 4000
        block = b"\x82\x87\x84\x40\x01x\x7f" + _integer(len(value) - 127) + value + b"\xbe" * 60_000
        client.sock.sendall(HeadersFrame(1, block[:60_000], flags=["END_HEADERS", "END_STREAM"]).serialize())
        assert ended_with(client) in {h2.errors.ErrorCodes.PROTOCOL_ERROR, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM}
        assert behind.nobody_waits()


def _integer(value: int) -> bytes:
    found = b""
    while value >= 128:
        found += bytes([value % 128 + 128])
        value //= 128
    return found + bytes([value])


@pytest.mark.parametrize(
    "frame",
    [PingFrame(0, b"12345678"), SettingsFrame(0, settings={4: 65535})],
    ids=["pings", "settings"],
)
def test_frames_that_want_answers_are_not_answered_without_end(frame: PingFrame | SettingsFrame) -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        client.settled()
        block = frame.serialize() * 100
        with contextlib.suppress(OSError):  # it has been stopped already
            for _ in range(100):
                client.sock.sendall(block)
        assert ended_with(client) in {h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None}


def test_who_asks_and_never_reads_is_cut_off() -> None:
    with backend() as behind, engine(OURS, behind.port, unread_max=1 << 18) as arm:
        client = arm.http2(INITIAL_WINDOW_SIZE=2**31 - 1)
        client.h2.increment_flow_control_window(2**31 - 1 - 65535)
        for _ in range(60):
            client.open("GET", "/big", end=True)
        for _ in range(60):
            behind.accept().head()
        for got in behind.accepted:
            got.sock.settimeout(0)
            with contextlib.suppress(OSError):  # it takes no more
                got.sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                while got.sock.send(bytes(1 << 16)):
                    pass
        with pytest.raises(OSError):  # noqa: PT012 - a reset, once what had come is read
            while client.sock.recv(1 << 16):
                pass


@pytest.mark.parametrize(
    "data",
    [
        WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2,
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x09",  # DATA on a stream that was never begun
        HeadersFrame(2, b"\x82\x87\x84", flags=["END_HEADERS"]).serialize(),  # an even number
        HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, b"\x82\x84", flags=["END_HEADERS"]).serialize(),  # without a scheme
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # longer than any frame may be
    ],
    ids=["window too large", "data before a head", "even stream", "no HPACK", "no scheme", "long frame"],
)
def test_what_is_no_http_2_ends_the_connection_in_words(data: bytes) -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http2()
        client.settled()
        client.sock.sendall(data)
        assert ended_with(client)
        assert behind.nobody_waits()
        assert arm.crashes.none()


def test_other_bytes_after_the_handshake_end_the_connection() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        sock = arm.tls("h2")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.settimeout(PATIENCE_S)
        assert b"preamble" in Raw(sock).rest()
        assert behind.nobody_waits()
