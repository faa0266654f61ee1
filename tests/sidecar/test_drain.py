"""The end of a sidecar's process: what is under way finishes, what comes is served, and then it is really over."""

import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loaded_lab import OK, PATIENCE_S, REQUEST, Loaded, call, loaded, status_of, until
from relay_lab import read_all, read_head

from kecs.core.names import ADMIN_PORT


class Slow:
    """A backend whose answers wait for the test."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        held = bytearray()
        while head := read_head(sock, held):
            if b"/wait" in head:
                self.begun.release()
                assert self.go.wait(PATIENCE_S)
            sock.sendall(OK)


WAIT = REQUEST.replace(b"/k", b"/wait")


def terminate(lab: Loaded) -> None:
    """Tell it to end, and see that it has begun to."""
    lab.process.send_signal(signal.SIGTERM)
    until(lambda: lab.ask("/readyz")[0] == 503)


def test_what_is_under_way_finishes_and_what_is_idle_is_closed(tmp_path: Path) -> None:
    slow = Slow()
    with loaded(tmp_path, slow, drain_timeout_s=3600) as lab, lab.tls() as busy, lab.tls() as idle:
        assert call(idle) == 200
        busy.sendall(WAIT)
        assert slow.begun.acquire(timeout=PATIENCE_S)
        terminate(lab)
        assert idle.recv(1) == b""
        assert lab.ask("/livez")[0] == 200
        slow.go.set()
        answer = read_all(busy)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close\r\n" in answer
        assert lab.process.wait(PATIENCE_S) == 0
        lab.wait_line(lambda lines: lines and lines[-1]["event"] == "drained")
        (told,) = lab.events("drained")
        assert (told["open"], told["served"] >= 0, told["cut"]) == (2, True, 0)
        assert [one["reason"] for one in lab.events("call")] == ["", ""]


def test_new_connections_are_served_while_others_finish(tmp_path: Path) -> None:
    """A program that is told to end may call once more on its way out."""
    slow = Slow()
    with loaded(tmp_path, slow, drain_timeout_s=3600) as lab, lab.tls() as busy:
        busy.sendall(WAIT)
        assert slow.begun.acquire(timeout=PATIENCE_S)
        terminate(lab)
        for _ in range(3):
            with lab.tls() as late:
                late.sendall(REQUEST)
                answer = read_all(late)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"Connection: close\r\n" in answer
        slow.go.set()
        assert status_of(busy) == 200
        assert lab.process.wait(PATIENCE_S) == 0
        lab.wait_line(lambda lines: lines and lines[-1]["event"] == "drained")
        assert lab.events("drained")[0]["cut"] == 0
        assert lab.events("drained")[0]["served"] >= 3


def test_the_deadline_cuts_what_has_no_end(tmp_path: Path) -> None:
    slow = Slow()
    with loaded(tmp_path, slow, drain_timeout_s=0.5) as lab, lab.tls() as busy:
        busy.sendall(WAIT)
        assert slow.begun.acquire(timeout=PATIENCE_S)
        assert lab.end() == 0
        slow.go.set()
        lab.wait_line(lambda lines: lines and lines[-1]["event"] == "drained")
        assert (lab.events("drained")[0]["open"], lab.events("drained")[0]["cut"]) == (1, 1)
        assert read_all(busy) == b""


def test_it_stays_a_moment_for_those_who_may_still_come_and_a_second_signal_ends_it(tmp_path: Path) -> None:
    with loaded(tmp_path, drain_quiet_s=60, drain_timeout_s=3600) as lab:
        terminate(lab)
        with lab.tls() as late:
            assert call(late) == 200
        lab.process.send_signal(signal.SIGTERM)
        assert lab.process.wait(PATIENCE_S) == 0


def test_without_connections_it_ends_in_silence(tmp_path: Path) -> None:
    with loaded(tmp_path) as lab:
        assert lab.end() == 0
        assert lab.lines == []


@contextmanager
def dumb_resolver() -> Iterator[None]:
    """Hold the port of a resolver that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 53))
        yield


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n", encoding="ascii")
    return path


def test_a_resolver_that_hangs_holds_up_neither_others_nor_the_end(tmp_path: Path, resolv_conf: Path) -> None:
    relay = {"connect_timeout_s": 0.5}
    with loaded(tmp_path, resolv_conf=resolv_conf, backend_host="emulator.test", relay=relay) as lab, dumb_resolver():
        with lab.tls() as first, lab.tls() as second:
            for sock in (first, second):
                sock.sendall(REQUEST)
            assert lab.ask("/livez")[0] == 200
            assert [status_of(sock) for sock in (first, second)] == [503, 503]
        lab.wait_line(lambda lines: len(lines) == 2)
        assert {one["reason"] for one in lab.lines} == {"upstream_connect_timeout"}
        assert lab.end() == 0


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def test_the_engine_ends_with_it(tmp_path: Path) -> None:
    with loaded(tmp_path, engine="on-demand", drain_timeout_s=0.5) as lab:
        with lab.tls(alpn=("h2",)) as tls:
            assert tls.selected_alpn_protocol() == "h2"
            engine = children(lab.process.pid)
            assert engine
            assert lab.end() == 0
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engine))


def test_requests_that_never_come_do_not_hold_it_up(tmp_path: Path) -> None:
    """Kubelet keeps connections to probes open, and so may anybody: they are nobody's requests."""
    with loaded(tmp_path, drain_timeout_s=3600) as lab:
        probing = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=PATIENCE_S)
        probing.connect()
        assert lab.end() == 0
        probing.close()
