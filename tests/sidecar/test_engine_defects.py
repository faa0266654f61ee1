"""What stock mitmproxy 12.2 does wrong for AWS's clients, and the engine does not: each seen with the same client.

Every test runs twice: with mitmproxy's own layers and connections, where it states the defect, and with ours.
"""

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest
from engine_lab import OK, OURS, S3, STOCK, Raw, StockHooks, backend, engine
from hyperframe.frame import GoAwayFrame
from mitmproxy.proxy.layers.http import HttpLayer
from sidecar_service_lab import PATIENCE_S

from kecs.sidecar.engine_http2 import STREAM_WINDOW
from kecs.sidecar.engine_process import Nobody, Options

BOTH = pytest.mark.parametrize("kind", [OURS, STOCK])
TESTED = "12.2.3"


def test_another_mitmproxy_is_looked_at_before_it_is_used() -> None:
    assert metadata.version("mitmproxy") == TESTED, (
        "these classes override methods of mitmproxy's; look at what has changed in proxy/layers/http/__init__.py "
        "(HttpStream: the states of request and response heads, send_response, make_server_connection; HttpLayer: "
        "get_connection, register_connection, event_to_child), _http1.py (read_body, read_headers, mark_done, wait, "
        "send), _http2.py and _http_h2.py (handle_h2_event, send_data, stream_buffers), proxy/server.py "
        "(ConnectionHandler: handle_client, handle_connection, open_connection, server_event), proxy/layers/tls.py "
        "(send_close), master.py; see which of the defects below are gone; then change this number and the pin"
    )
    assert metadata.version("h2").startswith("4.3."), "Frames overrides H2Connection._receive_goaway_frame"


@BOTH
def test_a_body_without_length_is_not_taken_for_the_next_request(kind: str) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        stream = client.ask("PUT", "/k", smuggled)
        got = behind.accept()
        head = got.head().lower()
        framed = "transfer-encoding: chunked" in head
        assert framed is (kind == OURS)
        assert "content-length" not in head
        if kind == OURS:
            assert got.chunk() == smuggled
            assert got.chunk() == b""
            got.send(OK)
            assert client.reply(stream).body == b"ok"
        else:
            assert got.exactly(len(smuggled)) == smuggled


@BOTH
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_trailers_of_a_response_arrive(kind: str, version: str) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: abc\r\nGrpc-Status: 0\r\n\r\n"
    )
    with backend() as behind, engine(kind, behind.port) as arm:
        if version == "2":
            second = arm.http2()
            stream = second.open("GET", "/k", ("te", "trailers"), end=True)
            got = behind.accept()
            got.head()
            got.send(answer)
            if kind == OURS:
                reply = second.reply(stream)
                assert reply.body == b"hello"
                assert reply.trailers == {"x-sum": "abc", "grpc-status": "0"}
                assert "transfer-encoding" not in reply.fields
            else:
                second.until(lambda: second.replies[stream].body == b"hello")
        else:
            first = arm.http1()
            first.send(f"GET /k HTTP/1.1\r\nHost: {S3}\r\nTE: trailers\r\n\r\n".encode())
            got = behind.accept()
            got.head()
            got.send(answer)
            first.head()
            assert first.chunk() == b"hello"
            if kind == OURS:
                assert first.until(b"\r\n\r\n") == b"0\r\nX-Sum: abc\r\nGrpc-Status: 0\r\n\r\n"
        if kind == STOCK:
            assert "NotImplementedError: HTTP trailers are not implemented yet" in arm.crashes.next()


@BOTH
def test_trailers_of_a_request_of_http_1_arrive(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http1()
        client.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
        got = behind.accept()
        got.head()
        assert got.chunk() == b"hello"
        client.send(b"0\r\nX-Sum: abc\r\n\r\n")
        if kind == STOCK:
            assert "HTTP trailers are not implemented yet" in arm.crashes.next()
            return
        assert got.until(b"\r\n\r\n") == b"0\r\nX-Sum: abc\r\n\r\n"
        got.send(OK)
        assert client.head().startswith("HTTP/1.1 200")


@BOTH
def test_trailers_of_a_request_of_http_2_arrive(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        stream = client.open("POST", "/grpc", ("te", "trailers"))
        client.data(stream, b"hello")
        client.trailers(stream, ("x-sum", "abc"))
        got = behind.accept()
        got.head()
        if kind == STOCK:
            assert got.exactly(5) == b"hello"
            assert "AssertionError: Unexpected event: RequestTrailers" in arm.crashes.next()
            return
        assert got.chunk() == b"hello"
        assert got.until(b"\r\n\r\n") == b"0\r\nx-sum: abc\r\n\r\n"
        got.send(OK)
        assert client.reply(stream).body == b"ok"


@BOTH
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_an_interim_response_is_not_the_final_one(kind: str, version: str) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    with backend() as behind, engine(kind, behind.port) as arm:
        first, second, stream = None, None, 0
        if version == "2":
            second = arm.http2()
            stream = second.open("GET", "/k", end=True)
        else:
            first = arm.http1()
            first.send(f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
        got = behind.accept()
        got.head()
        if kind == STOCK:
            got.send(hints + OK)
            if first is not None:
                assert first.head().startswith("HTTP/1.1 103")
                got.send(b"x")
                assert got.rest() == b""  # taken for something unexpected: no response was awaited any more
            else:
                assert got.rest() == b""  # closed, for all that was to come had come
            return
        got.send(hints + b"HTTP/1.1 102 Processing\r\n\r\n")
        got.send(OK)
        if second is not None:
            reply = second.reply(stream)
            assert reply.interim == [(103, {"link": "</style.css>; rel=preload"}), (102, {})]
            assert (reply.status, bytes(reply.body)) == (200, b"ok")
        elif first is not None:
            assert [first.head().partition("\r\n")[0][9:12] for _ in range(3)] == ["103", "102", "200"]
            assert first.exactly(2) == b"ok"


@BOTH
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_whether_to_go_on_is_the_backends_to_say(kind: str, version: str) -> None:
    fields = (("content-length", "4"), ("expect", "100-continue"))
    with backend() as behind, engine(kind, behind.port) as arm:
        first, second, stream = None, None, 0
        if version == "2":
            second = arm.http2()
            stream = second.open("PUT", "/k", *fields)
        else:
            first = arm.http1()
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            first.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\n{lines}\r\n".encode())
        got = behind.accept()
        assert ("expect: 100-continue" in got.head().lower()) is (kind == OURS)
        if kind == STOCK:
            if first is not None:
                assert first.head().startswith("HTTP/1.1 100")  # which nobody behind has said
            return
        got.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        if second is not None:
            reply = second.reply(stream)
            assert (reply.status, bytes(reply.body), reply.interim) == (403, b"no", [])
        elif first is not None:
            assert first.head().startswith("HTTP/1.1 403")
            assert first.rest() == b"no"


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_backend_that_says_go_on_gets_the_body(version: str) -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        if version == "2":
            second = arm.http2()
            stream = second.open("PUT", "/k", ("content-length", "4"), ("expect", "100-continue"))
            got = behind.accept()
            got.head()
            got.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            second.until(lambda: second.replies[stream].interim == [(100, {})])
            second.data(stream, b"body", end=True)
            assert got.exactly(4) == b"body"
            got.send(OK)
            assert second.reply(stream).body == b"ok"
            return
        first = arm.http1()
        first.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        got = behind.accept()
        got.head()
        got.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert first.head().startswith("HTTP/1.1 100")
        first.send(b"body")
        assert got.exactly(4) == b"body"
        got.send(OK)
        assert first.head().startswith("HTTP/1.1 200")
        assert first.exactly(2) == b"ok"
        first.send(f"GET /next HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
        assert behind.accept().head().startswith("GET /next ")


@BOTH
def test_a_body_is_passed_on_while_it_comes(kind: str) -> None:
    """Stock mitmproxy keeps bodies whole unless told otherwise, and then begins with what it holds."""
    with backend() as behind, engine(kind, behind.port, stream=False) as arm:
        client = arm.http2()
        stream = client.open("PUT", "/slow")
        client.data(stream, b"first")
        client.settled()
        if kind == STOCK:
            assert behind.nobody_waits()
            return
        got = behind.accept()
        got.head()
        assert got.chunk() == b"first"
        client.data(stream, b"second")
        assert got.chunk() == b"second"
        got.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        client.until(lambda: client.replies[stream].body == b"one")
        client.data(stream, b"third", end=True)
        assert got.chunk() == b"third"
        assert got.chunk() == b""
        got.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.reply(stream).body == b"onetwo"


@BOTH
def test_the_original_destination_is_not_dialled(kind: str) -> None:
    """An addon that rewrites in `request` comes too late for a body that is streamed by then: it goes to real AWS."""

    class Rewriting:
        def __init__(self, made: StockHooks | Nobody) -> None:
            self.made = made

        def now(self, hook: Any) -> bool:
            self.run(hook)
            return True

        async def later(self, hook: Any) -> None:
            """Nothing is left to do."""

        def run(self, hook: Any) -> None:
            if hook.name == "request":
                hook.flow.request.host, hook.flow.request.port = "127.0.0.1", 9
            elif isinstance(self.made, Nobody):
                self.made.now(hook)
            elif hook.name not in {"requestheaders", "responseheaders"}:
                self.made.run(hook)

    options = replace(Options(), stream_large_bodies="1k")
    with backend() as original, engine(kind, original.port, options=options, wrap=Rewriting) as arm:
        client = arm.http1()
        client.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.send(b"1000\r\n" + bytes(4096) + b"\r\n")
        # to stock mitmproxy this is the original destination; to ours the relay, which is all that it ever dials
        got = original.accept()
        head = got.head()
        assert ("x-kecs-engine: marked" in head.lower()) is (kind == OURS)
        if kind == OURS:
            assert got.chunk() == bytes(4096)
            client.send(b"0\r\n\r\n")
            assert got.chunk() == b""
            got.send(OK)
            assert client.head().startswith("HTTP/1.1 200")


@BOTH
def test_nothing_is_dialled_before_there_is_something_to_send(kind: str) -> None:
    """Stock mitmproxy's default is to dial the destination first, and to copy its certificate's names."""
    options = replace(Options(), connection_strategy="eager")
    with backend() as behind, engine(kind, behind.port, options=options) as arm:
        client = arm.http1()
        if kind == STOCK:
            behind.accept()
            return
        assert behind.nobody_waits()
        client.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\n".encode())
        arm.call(int)
        assert behind.nobody_waits()
        client.send(b"\r\n")
        assert behind.accept().head().startswith("PUT /k ")


@BOTH
def test_a_client_that_has_ended_its_side_is_answered(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.plain()
        client.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nContent-Length: 4\r\n\r\nbody".encode())
        client.sock.shutdown(socket.SHUT_WR)
        if kind == STOCK:
            assert client.rest() == b""
            return
        got = behind.accept()
        got.head()
        assert got.exactly(4) == b"body"
        got.send(OK)
        assert client.rest() == OK


def test_a_client_that_has_ended_its_side_of_tls_is_answered() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.over_memory("http/1.1")
        client.write(f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
        client.goodbye()
        got = behind.accept()
        got.head()
        got.send(OK)
        assert client.rest() == (OK, True)


@BOTH
def test_http_2_in_clear_text_is_refused_in_words_it_understands(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.plain()
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        if kind == STOCK:
            assert behind.accept().head().startswith("PRI * HTTP/")  # and the client waits
            return
        answer = client.rest()
    assert answer[3:9] == b"\x04\x00\x00\x00\x00\x00"  # SETTINGS
    assert answer[12:13] == b"\x07"  # GOAWAY
    assert answer[-4:] == (13).to_bytes(4)  # HTTP_1_1_REQUIRED


_SEGMENTS = struct.Struct("=I")
_DATA_SEGMENTS_IN = 152
"""Of `struct tcp_info`, linux/tcp.h: tcpi_data_segs_in."""


@BOTH
def test_a_small_put_is_one_segment(kind: str) -> None:
    """Two small segments are what Nagle's algorithm and delayed acknowledgements make 40 ms of."""
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http1()
        client.send(f"PUT /k HTTP/1.1\r\nHost: {S3}\r\nContent-Length: 4\r\n\r\nbody".encode())
        got = behind.accept()
        assert got.head()
        assert got.exactly(4) == b"body"
        info = got.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (segments,) = _SEGMENTS.unpack_from(info, _DATA_SEGMENTS_IN)
        assert (segments == 1) is (kind == OURS)
        for handler in arm.handlers:
            for stream in handler.transports.values():
                sock = stream.writer.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@BOTH
def test_many_streams_wait_at_the_same_time(kind: str) -> None:
    """Kinesis consumers hold one stream for each shard. Stock mitmproxy dials five times, and has the others wait."""
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        streams = [client.open("POST", f"/{number}", end=True) for number in range(20)]
        for _ in range(5):
            behind.accept()
        client.settled()
        if kind == STOCK:
            assert behind.nobody_waits()
            return
        held = [*behind.accepted, *(behind.accept() for _ in range(15))]
        for got in held:
            number = int(got.head().split()[1][1:])
            got.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(number)), number))
        assert [client.reply(one).body for one in streams] == [str(number).encode() for number in range(20)]


@BOTH
def test_who_does_not_read_slows_the_backend_down(kind: str) -> None:
    """Stock mitmproxy takes all that the backend has and keeps it."""
    size, sent, done = 24 << 20, [0], threading.Event()

    def pour(got: Raw) -> None:
        got.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(1 << 16)
        with contextlib.suppress(OSError):
            while sent[0] < size:
                got.send(block)
                sent[0] += len(block)
        done.set()

    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2(INITIAL_WINDOW_SIZE=1 << 20)
        client.greedy = False
        stream = client.open("GET", "/big", end=True)
        got = behind.accept()
        got.head()
        pouring = threading.Thread(target=pour, args=(got,))
        pouring.start()
        reply = client.replies[stream]
        if kind == STOCK:
            assert done.wait(PATIENCE_S)
            assert len(reply.body) == 0
        else:
            ahead = 0
            while not reply.ended:
                held = len(reply.body)
                client.receive()
                ahead = max(ahead, sent[0] - len(reply.body))
                taken = len(reply.body) - held
                if taken:
                    client.h2.acknowledge_received_data(taken, stream)
            assert len(reply.body) == size
            assert ahead < 16 << 20  # of which the kernel's buffers of three connections are the most
        client.sock.close()
        got.sock.shutdown(socket.SHUT_RDWR)
        pouring.join()


@BOTH
def test_who_sends_more_than_is_taken_is_slowed_down(kind: str) -> None:
    """Stock mitmproxy gives every client a window of 2 GiB, so that one slow upload stops all others' frames."""
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        stream = client.open("PUT", "/k")
        behind.accept()
        client.settled()
        window = client.h2.local_flow_control_window(stream)
        assert window == (STREAM_WINDOW if kind == OURS else 2**31 - 1)


@BOTH
def test_a_slow_stream_does_not_stop_the_others(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        slow = client.open("PUT", "/slow")
        stuck = behind.accept()
        stuck.head()
        client.settled()
        blocked = threading.Event()
        if kind == STOCK:
            # it reads on from nobody until this backend does, so no ping is answered
            client.h2.ping(b"whenever")
            client.sock.settimeout(0)
            block = bytes(16384)
            with contextlib.suppress(ssl.SSLWantWriteError, BlockingIOError):
                for _ in range(4096):
                    client.h2.send_data(slow, block)
                    client.sock.sendall(client.h2.data_to_send())
                blocked.set()
            assert not blocked.is_set()
            return
        client.fill(slow)
        other = client.open("GET", "/other", end=True)
        got = behind.accept()
        got.head()
        got.send(OK)
        assert client.reply(other).body == b"ok"


@BOTH
def test_what_a_client_began_before_its_goodbye_is_finished(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        stream = client.open("GET", "/k", end=True)
        got = behind.accept()
        got.head()
        client.sock.sendall(GoAwayFrame(0, last_stream_id=0).serialize())
        if kind == STOCK:
            assert got.rest() == b""
            return
        got.send(OK)
        assert client.reply(stream).body == b"ok"
        client.rest()


@BOTH
def test_a_whole_response_ends_whatever_is_left_of_the_request(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        stream = client.open("PUT", "/k")
        client.data(stream, b"begin")
        got = behind.accept()
        got.head()
        got.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        client.until(lambda: client.replies[stream].body == b"no")
        if kind == STOCK:
            client.settled()
            assert not client.replies[stream].ended
            return
        client.until(lambda: client.replies[stream].reset is not None)
        reply = client.replies[stream]
        assert (reply.status, reply.ended, reply.reset) == (403, True, 0)  # NO_ERROR: RFC 9113 8.1
        got.rest()  # closed: nobody waits for it either


@BOTH
def test_a_long_connection_remembers_nothing(kind: str) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http2()
        for _ in range(30):
            stream = client.open("GET", "/k", end=True)
            got = behind.accept()
            got.head()
            got.send(OK)
            assert client.reply(stream).body == b"ok"
            got.rest()
        client.settled()
        (handler,) = arm.handlers
        http = next(one for one in handler.layer.context.layers if isinstance(one, HttpLayer))
        front = http.connections[handler.client]
        remembered = len(http.connections) + len(front.streams) if kind == OURS else len(http.connections)
        assert (remembered < 5) is (kind == OURS)


UVLOOP = """
import asyncio, sys
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

async def run():
    master = Master(Options())
    master.addons.add(Proxyserver(), NextLayer())
    master.options.update(server=False)
    asyncio.get_running_loop().call_soon(master.shutdown)
    await master.run()

import uvloop
uvloop.run(run())
"""


LOADED = "import json, sys, kecs.sidecar.engine_process; print(json.dumps(sorted(sys.modules)))"


def test_masters_tasks_and_uvloop_do_not_go_together() -> None:
    """The trap, and why the engine's process runs on asyncio's own loop: nothing here imports uvloop."""
    failed = subprocess.run([sys.executable, "-c", UVLOOP], capture_output=True, text=True, check=False)
    assert "unexpected keyword argument 'eager_start'" in failed.stderr
    told = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = set(json.loads(told.stdout))
    assert "uvloop" not in loaded
    assert not loaded & {"mitmproxy.master", "mitmproxy.addons", "tornado"}
