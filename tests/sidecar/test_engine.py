"""The second engine: HTTP/2 for clients that offer nothing else, a page for people who want to look."""

import asyncio
import contextlib
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from sidecar_lab import configuration
from sidecar_service_lab import PATIENCE_S, Got, Lab, authority, backend, laboratory

from kecs.calls.routes import ENGINE_FIELD
from kecs.sidecar.engine import Engine

S3 = "b.s3.eu-west-1.amazonaws.com"


@dataclass
class Replies:
    """What came over one HTTP/2 connection, by stream."""

    status: dict[int, int] = field(default_factory=dict)
    body: dict[int, bytes] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)


class Http2:
    """A client that speaks HTTP/2 only."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        assert sock.selected_alpn_protocol() == "h2"
        self.sock = sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.replies = Replies()

    def ask(self, method: str, path: str, *chunks: bytes, length: bool = False, host: str = S3) -> int:
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        if length:
            fields.append(("content-length", str(sum(map(len, chunks)))))
        self.h2.send_headers(stream, fields, end_stream=not chunks)
        for index, chunk in enumerate(chunks):
            for start in range(0, len(chunk), 16384):
                part = chunk[start : start + 16384]
                while self.h2.local_flow_control_window(stream) < len(part):
                    self.receive()
                last = index == len(chunks) - 1 and start + 16384 >= len(chunk)
                self.h2.send_data(stream, part, end_stream=last)
        self.sock.sendall(self.h2.data_to_send())
        return stream

    def receive(self) -> None:
        self.sock.sendall(self.h2.data_to_send())
        data = self.sock.recv(65536)
        assert data, "the engine has closed the connection"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.replies.status[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                known = self.replies.body.get(event.stream_id, b"")
                self.replies.body[event.stream_id] = known + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.replies.ended.add(event.stream_id)
        self.sock.sendall(self.h2.data_to_send())

    def reply(self, stream: int) -> tuple[int, bytes]:
        while stream not in self.replies.ended:
            self.receive()
        return self.replies.status[stream], self.replies.body.get(stream, b"")


def test_a_client_of_http_2_alone_is_served(tmp_path: Path) -> None:
    """Bodies without a length must not be taken for the next request, whatever they say."""
    got: list[Got] = []
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with backend(got) as port, laboratory(tmp_path, port=port) as lab:
        assert lab.sidecar.engine is not None
        assert lab.sidecar.engine.pid == 0
        with lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            assert client.reply(client.ask("GET", "/get")) == (200, b'{"bytes": 0}')
            assert client.reply(client.ask("PUT", "/unknown", smuggled, b"more")) == (
                200,
                b'{"bytes": 37}'.replace(b"37", str(len(smuggled) + 4).encode()),
            )
            big = os.urandom(300_000)
            assert client.reply(client.ask("PUT", "/known", big, length=True)) == (200, b'{"bytes": 300000}')
        records = lab.records()
    assert [(one.method, one.path) for one in got] == [("GET", "/get"), ("PUT", "/unknown"), ("PUT", "/known")]
    assert got[1].body == smuggled + b"more"
    assert got[2].body == big
    assert all(one.fields["host"] == S3 and "x-kecs-engine" not in one.fields for one in got)
    assert "transfer-encoding" not in got[0].fields
    calls = [record for record in records if record["event"] == "call"]
    assert [(one["operation"], one["verdict"]) for one in calls] == [
        ("GetObject", "engine"),
        *2 * [("PutObject", "engine")],
    ]


def test_no_backend_is_a_503_through_the_engine_too(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with laboratory(tmp_path, port=unused.getsockname()[1]) as lab, lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            status, body = client.reply(client.ask("GET", "/k"))
    assert status == 503
    assert b"emulator unreachable" in body


def test_another_authority_is_not_forwarded(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port) as lab, lab.tls(S3, ("h2",)) as tls:
        client = Http2(tls)
        assert client.reply(client.ask("GET", "/k", host="example.com"))[0] == 421
    assert got == []


def test_the_engine_is_started_again_when_it_dies_and_ends_with_the_sidecar(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        engine = lab.sidecar.engine
        assert engine is not None
        pids = []
        for _ in range(2):
            with lab.tls(S3, ("h2",)) as tls:
                client = Http2(tls)
                assert client.reply(client.ask("GET", "/k"))[0] == 200
            pids.append(engine.pid)
            os.kill(pids[-1], 9)
    assert pids[0] != pids[1]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_engine_that_can_not_be_started_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        with lab.tls(S3, ("h2",)) as tls:
            assert tls.selected_alpn_protocol() is None
            tls.sendall(f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
            assert tls.recv(100).startswith(b"HTTP/1.1 200")
        records = lab.records()
    assert records[0]["event"] == "engine_failed"


def test_whoever_guesses_the_way_back_gets_nothing(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port) as lab:
        assert lab.sidecar.engine is not None
        with socket.create_connection(lab.sidecar.engine.way_back.getsockname(), timeout=PATIENCE_S) as sock:
            sock.sendall(f"GET /k HTTP/1.1\r\nHost: {S3}\r\nX-KECS-Engine: guess\r\n\r\n".encode())
            assert sock.recv(100).startswith(b"HTTP/1.1 403")
    assert got == []


def test_it_does_not_start_before_there_is_an_intermediate() -> None:
    told: list[str] = []

    async def wanted() -> list[bool]:
        engine = Engine(
            asyncio.get_running_loop(), None, config=configuration(), note=lambda event, _: told.append(event)
        )
        try:
            before = engine.wanted() is not None
            engine.renew(authority()[1])
            return [before, engine.wanted() is not None]
        finally:
            engine.close()

    assert asyncio.run(wanted()) == [False, True]
    assert told == []


KILLED = """
import asyncio, os, ssl, sys
from sidecar_lab import configuration, connection
from sidecar_service_lab import authority
from kecs.sidecar.engine import Engine

async def main():
    engine = Engine(asyncio.get_running_loop(), authority()[1], config=configuration(), note=lambda *_: None)
    handover = engine.handover(connection())
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(*handover.address)
    writer.write(handover.first)
    await writer.start_tls(context, server_hostname="s3.amazonaws.com")
    print(engine.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_the_engine_ends_with_a_sidecar_that_is_killed() -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.wait(PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        descriptor = os.pidfd_open(pid)
        try:
            ended, _, _ = select.select((descriptor,), (), (), PATIENCE_S)
        finally:
            os.close(descriptor)
        assert ended


def trusted(lab: Lab, alpn: str) -> bool:
    try:
        with lab.tls(S3, (alpn,)) as tls:
            return tls.selected_alpn_protocol() == alpn
    except ssl.SSLCertVerificationError:
        return False


def test_a_new_intermediate_is_used_at_once_by_relay_and_engine(tmp_path: Path) -> None:
    with laboratory(tmp_path, port=1) as lab:
        assert trusted(lab, "http/1.1")
        assert trusted(lab, "h2")
        lab.root, intermediate = authority()
        assert not trusted(lab, "http/1.1")
        assert not trusted(lab, "h2")
        lab.call(lab.sidecar.renew, intermediate)
        assert trusted(lab, "http/1.1")
        # The engine reads it from a pipe, in its own time.
        assert any(trusted(lab, "h2") for _ in range(1000))


def told(lab: Lab, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """Wait for a record in the log, which others write too."""
    with lab.log.open() as log:
        seen = ""
        while True:
            seen += log.readline()
            if seen.endswith("\n"):
                record = json.loads(seen)
                seen = ""
                if wanted(record):
                    return dict(record)
            lab.call(int)


def test_inspecting_shows_calls_on_a_page_with_a_token(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="inspect") as lab:
        url = told(lab, lambda record: record["event"] == "inspect")["url"]
        assert url.startswith("http://127.0.0.1:")
        assert "token=" in url
        with lab.tls(S3, ("http/1.1",)) as tls:
            asking = http.client.HTTPConnection(S3)
            asking.sock = tls
            asking.request("PUT", "/seen", body=b"12345", headers={"Host": S3})
            assert asking.getresponse().read() == b'{"bytes": 5}'
            asking.close()
        base, _, token = url.partition("?token=")
        question = urllib.request.Request(f"{base}flows", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(question, timeout=PATIENCE_S) as page:
            flows = json.loads(page.read())
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{base}flows", timeout=PATIENCE_S)
        refused.value.close()
    assert refused.value.code == 403
    shown = [
        tuple(flow["request"][key] for key in ("method", "scheme", "pretty_host", "port", "path")) for flow in flows
    ]
    assert shown == [("PUT", "https", S3, 443, "/seen")]
    assert ENGINE_FIELD.decode().lower() not in json.dumps(flows).lower()
    assert got[0].body == b"12345"
