"""Several processes behind one port: shared work, one log, one certificate, and none of them missed when it ends."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest
from certs_lab import stepped
from certs_service_lab import SCOPE
from identity_lab import PodLab, called, pod_lab
from loaded_lab import OK, PATIENCE_S, REQUEST, Loaded, call, loaded, status_of, until
from relay_lab import read_all, read_head
from sidecar_lab import configuration

from kecs.certs.rotation import prepare, switch
from kecs.core.names import DNS_PORT
from kecs.sidecar.cpus import available
from kecs.sidecar.crew import Crew
from kecs.sidecar.shared_names import SharedAllocator
from kecs.sidecar.worker_process import ANYWAY_S

TWO = {"workers": 2}


def ready(lab: Loaded, count: int = 2) -> list[int]:
    """Wait until all workers serve; return their ids."""

    def serving() -> bool:
        workers = lab.told("/certs")["workers"]
        return len(workers) == count and not any(one["reason"] for one in workers)

    until(serving)
    return [one["pid"] for one in lab.told("/certs")["workers"]]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_connections_are_shared_and_counted_together(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab, ExitStack() as stack:  # type: ignore[arg-type]  # a count
        pids = ready(lab)
        assert lab.told("/readyz")["ready"] is True
        assert lab.probe("/readyz")[0] == 200
        for _ in range(8):
            assert call(stack.enter_context(lab.tls())) == 200
        until(lambda: lab.metrics().get("kecs_sidecar_calls_total:s3:200") == 8)
        metrics = lab.metrics()
        assert metrics["kecs_sidecar_connections_now"] == 8
        assert metrics["kecs_sidecar_workers_now"] == 2
        assert metrics["kecs_sidecar_connections_limit_now"] == 2 * 8192
        assert metrics["kecs_sidecar_call_duration_seconds_count"] == 8
        assert lab.told("/config")["in_force"]["workers"] == 2
        lab.wait_line(lambda lines: len(lines) == 8)
        assert lab.end() == 0
        until(lambda: all(gone(pid) for pid in pids))


def test_a_worker_that_is_killed_is_not_missed(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab, ExitStack() as stack:  # type: ignore[arg-type]  # a count
        before = ready(lab)
        for _ in range(4):
            assert call(stack.enter_context(lab.tls())) == 200
        until(lambda: lab.metrics().get("kecs_sidecar_calls_total:s3:200") == 4)
        os.kill(before[0], signal.SIGKILL)
        lab.wait_line(lambda lines: any(one["event"] == "worker_ended" for one in lines))
        with lab.tls() as other:
            assert call(other) == 200
        assert lab.probe("/readyz")[0] == 200
        after = ready(lab)
        assert before[0] not in after
        assert before[1] in after
        metrics = lab.metrics()
        assert metrics["kecs_sidecar_calls_total:s3:200"] >= 4, "what was counted stays counted"
        assert metrics["kecs_sidecar_relay_total:workers_restarted"] == 1
        (told,) = lab.events("worker_ended")
        assert (told["worker"], told["reason"], told["attempt"]) == (0, "ended with -9", 1)


def test_all_workers_killed_wait_in_the_backlog_for_the_next(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab:  # type: ignore[arg-type]  # a count
        for pid in ready(lab):
            os.kill(pid, signal.SIGKILL)
        lab.wait_line(lambda lines: [one["event"] for one in lines].count("worker_ended") == 2)
        with lab.tls() as tls:
            assert call(tls) == 200


def test_one_that_dies_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab:  # type: ignore[arg-type]  # a count
        for deaths in range(1, 4):
            victim = next(one["pid"] for one in lab.told("/certs")["workers"] if one["worker"] == 0)
            os.kill(victim, signal.SIGKILL)
            lab.wait_line(lambda lines, deaths=deaths: [one["event"] for one in lines].count("worker_ended") == deaths)  # type: ignore[misc]
            ready(lab)
        attempts = [0, *(one["attempt"] for one in lab.events("worker_ended"))]
        # one that lived for ten seconds, as on a slow machine, counts from the beginning
        assert all(now in {1, before + 1} for before, now in pairwise(attempts))
        assert [one["wait_s"] for one in lab.events("worker_ended")] == [0.1 * 2 ** (at - 1) for at in attempts[1:]]


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab:  # type: ignore[arg-type]  # a count
        pids = ready(lab)
        lab.process.kill()
        until(lambda: all(gone(pid) for pid in pids))


def test_the_log_is_one_stream_of_whole_lines(tmp_path: Path) -> None:
    with loaded(tmp_path, **TWO) as lab:  # type: ignore[arg-type]  # a count
        ready(lab)
        socks = [lab.tls() for _ in range(6)]
        threads = [threading.Thread(target=repeat, args=(sock,)) for sock in socks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        for sock in socks:
            sock.close()
        lab.wait_line(lambda lines: len(lines) >= 6 * 200)
        assert {(one["event"], one["status"]) for one in lab.lines} == {("call", 200)}
        assert lab.metrics()["kecs_sidecar_log_dropped_total"] == 0


def repeat(sock: socket.socket) -> None:
    for _ in range(200):
        assert call(sock) == 200


def test_a_drain_is_of_all_workers(tmp_path: Path) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def slow(sock: socket.socket) -> None:
        held = bytearray()
        while head := read_head(sock, held):
            if b"/wait" in head:
                begun.release()
                assert go.wait(PATIENCE_S)
            sock.sendall(OK)

    with loaded(tmp_path, slow, drain_timeout_s=3600, **TWO) as lab, ExitStack() as stack:  # type: ignore[arg-type]  # a count
        pids = ready(lab)
        busy = [stack.enter_context(lab.tls()) for _ in range(4)]
        for sock in busy:
            sock.sendall(REQUEST.replace(b"/k", b"/wait"))
            assert begun.acquire(timeout=PATIENCE_S)
        lab.process.send_signal(signal.SIGTERM)
        until(lambda: lab.probe("/readyz")[0] == 503)
        with lab.tls() as late:
            late.sendall(REQUEST)
            assert b"Connection: close" in read_all(late)
        go.set()
        assert [status_of(sock) for sock in busy] == [200] * 4
        assert lab.process.wait(PATIENCE_S) == 0
        lab.wait_line(lambda lines: sum(one["open"] for one in lines if one["event"] == "drained") >= 4)
        assert sum(one["cut"] for one in lab.events("drained")) == 0
        assert all(gone(pid) for pid in pids)


def test_names_that_dns_gave_out_are_known_to_every_worker(tmp_path: Path) -> None:
    environment = {"KECS_SIDECAR_DNS": "capture"}
    with loaded(tmp_path, environment=environment, **TWO) as lab, ExitStack() as stack:  # type: ignore[arg-type]
        ready(lab)
        for name in ("sqs.eu-west-1.amazonaws.com", "sts.amazonaws.com"):
            answer = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=DNS_PORT, timeout=PATIENCE_S)
            address = answer.answer[0][0].address
            for _ in range(6):
                sock = stack.enter_context(lab.connect(address, 80))
                sock.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                assert status_of(sock) == 200
                refused = stack.enter_context(lab.connect(address, 5432))
                refused.sendall(b"\0\0\0\x08")
                with pytest.raises(ConnectionResetError):
                    refused.recv(1)
        lab.wait_line(lambda lines: len(lines) == 24)
        services = [one["service"] for one in lab.events("call")]
        assert sorted(services) == ["sqs"] * 6 + ["sts"] * 6
        assert {one["reason"] for one in lab.events("refused")} == {"aws_address_other_protocol"}
        assert lab.metrics()["kecs_sidecar_relay_total:dns_names"] == 2


def test_the_engine_is_the_supervisors(tmp_path: Path) -> None:
    """Whoever speaks HTTP/2 alone is given on, to the one process that has the second engine."""
    with loaded(tmp_path, engine="on-demand", drain_timeout_s=0.5, **TWO) as lab:  # type: ignore[arg-type]
        ready(lab)
        for _ in range(3):
            with lab.tls(alpn=("h2",)) as tls:
                assert tls.selected_alpn_protocol() == "h2"
        with lab.tls(alpn=("h2", "http/1.1")) as tls:
            assert call(tls) == 200
        until(lambda: lab.metrics().get("kecs_sidecar_relay_total:given") == 3)


def test_auto_is_as_many_as_there_are_cpus(tmp_path: Path) -> None:
    with loaded(tmp_path, environment={"KECS_RELAY_WORKERS": "auto"}) as lab:
        told = lab.told("/config")
        assert told["settings"]["workers"] == {"value": 0, "source": "KECS_RELAY_WORKERS"}
        assert told["in_force"]["workers"] == available()
        if available() > 1:
            ready(lab, available())


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("max 100000\n", None), ("150000 100000\n", 2), ("50000 100000\n", 1), ("nonsense", None), ("1 0\n", None)],
)
def test_a_quota_bounds_them(text: str, cpus: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text, encoding="ascii")
    here = len(os.sched_getaffinity(0))
    assert available(tmp_path / "cpu.max") == (here if cpus is None else min(cpus, here))
    assert available(tmp_path / "nothing") == here


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[PodLab]:
    with pod_lab(tmp_path) as found:
        yield found


def test_a_renewed_certificate_is_every_workers(pod: PodLab) -> None:
    with pod.service() as service, pod.sidecar(KECS_RELAY_WORKERS="2") as sidecar:
        sidecar.next_line("certificate_issued")

        def serials() -> set[str]:
            return {one.get("serial_number", "") for one in sidecar.certs()["workers"]}

        def agreed() -> str:
            """Return the one certificate that all have; empty while they don't agree."""
            mine, theirs = sidecar.certs()["serial_number"], serials()
            return mine if theirs == {mine} and len(sidecar.certs()["workers"]) == 2 else ""

        until(agreed)
        first = agreed()
        trusted = pod.state.authority.bundle_pem
        for _ in range(4):
            with pod.tls(trusted) as tls:
                assert called(tls) == 200
        now = datetime.now(UTC)
        prepared = stepped(prepare(pod.state, now, SCOPE))
        pod.become(stepped(switch(prepared, now, SCOPE)), service)
        until(lambda: agreed() not in {"", first})
        for _ in range(4):
            with pod.tls(trusted) as tls:
                assert called(tls) == 200
        victim = sidecar.certs()["workers"][0]["pid"]
        os.kill(victim, signal.SIGKILL)
        sidecar.next_line("worker_ended")
        until(lambda: agreed() not in {"", first})


def test_one_that_is_stuck_is_ended() -> None:
    """It accepts no connections, but its processes' port does: nobody would notice."""
    told: list[tuple[str, dict[str, Any]]] = []

    async def crew_with_one_stuck() -> None:
        changed = asyncio.Event()

        def note(event: str, facts: Mapping[str, Any]) -> None:
            told.append((event, dict(facts)))
            changed.set()

        names = SharedAllocator()
        crew = Crew(
            asyncio.get_running_loop(),
            configuration(),
            [socket.create_server(("127.0.0.1", 0))],
            count=1,
            names_fd=names.descriptor,
            put=lambda _: None,
            note=note,
            given=lambda sock: sock.close(),
            silence_s=3 * ANYWAY_S,
        )
        crew.start(None)
        try:
            async with asyncio.timeout(PATIENCE_S * 2):
                os.kill(crew.described()[0]["pid"], signal.SIGSTOP)
                await changed.wait()
        finally:
            crew.close()
            names.close()

    asyncio.run(crew_with_one_stuck())
    assert [(event, facts["reason"]) for event, facts in told] == [("worker_ended", "ended with -9")]
