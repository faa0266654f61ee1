"""The engine's process: started when it is needed, ended when it is not, and what clients see when it dies."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from engine_lab import OK, S3, Backend, Http2, Raw
from engine_lab import backend as raw_backend
from sidecar_lab import connection
from sidecar_service_lab import PATIENCE_S, Lab, authority, backend, laboratory

BIG = 64 << 20
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
"""The next request comes over a connection of its own."""


class Log:
    """Follows the sidecar's log."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._seen = 0

    def next(self, event: str) -> dict[str, Any]:
        """Wait for the next record of an event."""
        with self._lab.log.open() as log:
            log.seek(self._seen)
            line = ""
            while True:
                line += log.readline()
                if not line.endswith("\n"):
                    self._lab.call(int)
                    continue
                self._seen += len(line.encode())
                record = json.loads(line)
                line = ""
                if record["event"] == event:
                    return dict(record)


def asked(lab: Lab, path: str = "/k") -> int:
    """Ask once over a connection of its own; return the status."""
    with lab.tls(S3, ("h2",)) as tls:
        client = Http2(tls)
        return client.reply(client.open("GET", path, end=True)).status


def test_it_runs_while_somebody_is_connected_and_ends_after(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port, engine_idle_s=0.05) as lab:
        engine, log = lab.sidecar.engine, Log(lab)
        assert engine is not None
        assert engine.pid == 0
        with lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            assert client.reply(client.open("GET", "/k", end=True)).status == 200
            first = engine.pid
            assert log.next("engine_started")["duration_ms"] > 0
        assert log.next("engine_stopped")["reason"] == "idle"
        assert lab.call(lambda: engine.pid) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert asked(lab) == 200
        assert lab.call(lambda: dict(engine.counters)) | {"idle_stops": 1} == {
            "starts": 2, "failures": 0, "idle_stops": 1,
        }  # fmt: skip


def test_who_comes_at_the_moment_it_ends_is_served(tmp_path: Path) -> None:
    """As if the process had ended between the relay's decision and its connect."""
    with backend([]) as port, laboratory(tmp_path, port=port, engine_idle_s=0.01) as lab:
        engine, log = lab.sidecar.engine, Log(lab)
        assert engine is not None
        handover = lab.call(engine.handover, connection())
        for _ in range(3):
            log.next("engine_stopped")
            assert lab.call(lambda: engine.pid) == 0
            context = ssl.create_default_context(cadata=lab.root)
            context.set_alpn_protocols(["h2"])
            sock = socket.create_connection(handover.address, timeout=PATIENCE_S)
            sock.sendall(handover.first)
            with context.wrap_socket(sock, server_hostname=S3) as tls:
                client = Http2(tls)
                assert client.reply(client.open("GET", "/k", end=True)).status == 200


def test_nobody_is_lost_however_often_it_ends(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port, engine_idle_s=0.001) as lab:
        assert [asked(lab) for _ in range(12)] == [200] * 12


def test_who_connects_without_the_relays_header_gets_nothing(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        engine = lab.sidecar.engine
        assert engine is not None
        handover = lab.call(engine.handover, connection())
        for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", handover.first[:-1] + b"?", b"x" * 16):
            with socket.create_connection(handover.address, timeout=PATIENCE_S) as sock:
                sock.sendall(said)
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""


def test_an_engine_that_can_not_be_started_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        engine, log = lab.sidecar.engine, Log(lab)
        assert engine is not None
        broken = tmp_path / "python"
        broken.write_text("#!/bin/sh\nexit 7\n")
        broken.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(broken))
        with pytest.raises(OSError), lab.tls(S3, ("h2",)):
            pass
        failures = [log.next("engine_failed") for _ in range(3)]
        assert [one["attempt"] for one in failures] == [1, 2, 3]
        assert [one["retry_s"] for one in failures] == [0.0, 0.25, 5.0]
        assert {one["reason"] for one in failures} == {"ended with 7"}
        with lab.tls(S3, ("h2",)) as tls:
            assert tls.selected_alpn_protocol() is None  # the relay itself: better than nothing
        monkeypatch.undo()
        lab.call(setattr, engine._backoff, "_until", 0.0)  # those 5 s are over
        assert asked(lab) == 200


@contextmanager
def load(lab: Lab, outcomes: list[str], clients: int = 4) -> Iterator[None]:
    """Ask over and over on new connections, until the end; note how each went."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                outcomes.append(str(asked(lab)))
            except (OSError, EOFError, KeyError) as error:
                outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_it_is_killed_under_load_and_the_next_connections_work(tmp_path: Path) -> None:
    outcomes: list[str] = []
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        engine, log = lab.sidecar.engine, Log(lab)
        assert engine is not None
        with load(lab, outcomes):
            for _ in range(3):
                log.next("engine_started")
                served = outcomes.count("200")
                while outcomes.count("200") < served + 8:
                    lab.call(int)
                os.kill(engine.pid, 9)
                assert log.next("engine_failed")["reason"] == "ended with -9"
            served = len(outcomes)
            while "200" not in outcomes[served + 4 :]:
                lab.call(int)
        assert asked(lab) == 200
    # whoever was connected was told at once; nobody waited for a time to be over
    assert "TimeoutError" not in outcomes
    assert outcomes.count("200") >= 3 * 8


def test_whoever_is_connected_when_it_is_killed_is_told_at_once(tmp_path: Path) -> None:
    with raw_backend() as behind, laboratory(tmp_path, port=behind.port) as lab:
        engine = lab.sidecar.engine
        assert engine is not None
        with lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            streams = [client.open("POST", f"/{number}") for number in range(5)]
            held = [behind.accept() for _ in streams]
            for got in held:
                got.head()
            os.kill(engine.pid, 9)
            with pytest.raises((EOFError, OSError)):
                client.until(lambda: False)
        for got in held:
            assert got.rest() == b""  # the relay ends what nobody waits for
        with lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            stream = client.open("GET", "/k", end=True)
            got = behind.accept()
            got.head()
            got.send(OK)
            assert client.reply(stream).body == b"ok"


def test_a_certificate_is_renewed_under_load_without_a_lost_call(tmp_path: Path) -> None:
    outcomes: list[str] = []
    with backend([]) as port, laboratory(tmp_path, port=port) as lab:
        intermediates = [lab.sidecar._intermediate, authority_like(lab)]
        with load(lab, outcomes):
            for number in range(20):
                lab.call(lab.sidecar.renew, intermediates[number % 2])
                served = len(outcomes)
                while len(outcomes) < served + 4:
                    lab.call(int)
    assert set(outcomes) == {"200"}


def authority_like(lab: Lab) -> Any:
    """Return another intermediate; clients trust both roots."""
    root, intermediate = authority()
    lab.root += root
    return intermediate


def test_clients_are_told_to_leave_when_the_sidecar_does(tmp_path: Path) -> None:
    with raw_backend() as behind, laboratory(tmp_path, port=behind.port) as lab:
        engine = lab.sidecar.engine
        assert engine is not None
        with lab.tls(S3, ("h2",)) as tls:
            client = Http2(tls)
            stream = client.open("GET", "/k", end=True)
            got = behind.accept()
            got.head()
            lab.call(engine.leave)
            got.send(OK)
            seen = Raw(tls).rest()
    assert b"ok" in seen
    assert stream.to_bytes(4) + bytes(4) in seen  # GOAWAY with the last stream and no error


def peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def curl(lab: Lab, *arguments: str, stdin: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    lab.destination[0] = lab.destination[0]._replace(host="203.0.113.9", port=443)
    ca = lab.log.with_name("root.pem")
    ca.write_text(lab.root)
    return subprocess.Popen(
        [
            "curl", "--silent", "--show-error", "--fail", "--http2", "--cacert", str(ca), "--noproxy", "*",
            "--connect-to", f"{S3}:443:127.0.0.1:{lab.port}", *arguments,
        ],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def sink(behind: Backend) -> int:
    """Read a body in chunks; return its size."""
    got, size = behind.accept(), 0
    got.head()
    while data := got.chunk():
        size += len(data)
    got.send(LAST)
    return size


def source(behind: Backend) -> None:
    got, block = behind.accept(), bytes(1 << 20)
    got.head()
    got.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
    for _ in range(BIG // len(block)):
        got.send(block)


@pytest.mark.parametrize("engine", ["on-demand", "inspect"])
def test_bodies_go_up_and_down_and_none_of_them_stays(tmp_path: Path, engine: str) -> None:
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, BIG)
    with (
        raw_backend() as behind,
        laboratory(tmp_path, port=behind.port, engine=engine, engine_hosts=("b.s3.*.amazonaws.com",)) as lab,
    ):
        supervised = lab.sidecar.engine
        assert supervised is not None
        with curl(lab, f"https://{S3}/small") as small:
            got = behind.accept()
            got.head()
            got.send(LAST)
            assert small.communicate(timeout=PATIENCE_S) == (b"ok", b"")
        before = peak_kb(supervised.pid)
        with big.open("rb") as body, curl(lab, "-T", "-", f"https://{S3}/up", stdin=body) as up:
            sent = sink(behind)
            assert up.communicate(timeout=PATIENCE_S) == (b"ok", b"")
        with curl(lab, "-o", "/dev/null", "-w", "%{http_version} %{size_download}", f"https://{S3}/down") as down:
            source(behind)
            assert down.communicate(timeout=PATIENCE_S)[0] == f"2 {BIG}".encode()
        grown = peak_kb(supervised.pid) - before
    assert sent == BIG
    assert grown < 32 << 10
