"""`kecs proxy tap`: calls of all pods as they are made, from now on."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kube_lab import Fault
from live_lab import READY, Lab, code, lab, pod
from log_lab import lines, record

from kecs.cli import live

EXITED_BY_CTRL_C = 130


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@contextmanager
def tapping(cluster: Lab, *arguments: str, logs: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Run it as a process; it has begun when so many logs are followed."""
    argv = cluster.argv("tap", *arguments)
    with subprocess.Popen(
        argv, env=cluster.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            cluster.api.wait(lambda: cluster.followers() >= logs)
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Wait for the end, and return the exit code and what was written."""
    written, _ = process.communicate(timeout=20)
    return process.returncode, written.splitlines()


def began(cluster: Lab, count: int) -> bool:
    return cluster.followers() >= count


def call(second: int, **fields: Any) -> bytes:
    return lines(record(at=f"2026-11-21T09:00:{second:02d}.000Z", **fields))


def test_calls_from_now_on_of_all_namespaces(cluster: Lab) -> None:
    cluster.add(pod("app"), call(1))
    cluster.add(pod("other", namespace="market"), call(2))
    cluster.add(pod("plain", sidecar=None))
    with tapping(cluster, "--limit", "2", logs=2) as process:
        cluster.log("app", call(3))
        assert process.stdout is not None
        assert process.stdout.readline().startswith("shop/app 09:00:03 s3 PutObject")
        cluster.log("other", call(4), namespace="market")
        exit_code, written = told(process)
    assert exit_code == 0
    assert [line[:20] for line in written] == ["market/other 09:00:0"]


def test_one_namespace_alone(cluster: Lab) -> None:
    cluster.add(pod("app"))
    cluster.add(pod("other", namespace="market"))
    with tapping(cluster, "-n", "shop", "--limit", "1", "-o", "json") as process:
        cluster.log("other", call(3), namespace="market")
        cluster.log("app", call(4))
        exit_code, written = told(process)
    assert exit_code == 0
    assert [json.loads(line)["namespace"] for line in written] == ["shop"]


def test_filters_and_what_is_no_call(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster, "--limit", "2", "--status", "error", "--raw") as process:
        cluster.log(
            "app",
            call(1)
            + lines(record("certificate_renewal_failed", reason="x"))
            + b"some text\n"
            + lines(record("client_distrusts", host="sts.amazonaws.com"))
            + call(2, status=404),
        )
        exit_code, written = told(process)
    assert exit_code == 0
    assert ["client_distrusts" in line or '"status": 404' in line for line in written] == [True, True]


def test_a_nodes_clock_that_is_set_back_loses_no_call(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster, "--limit", "2", "-o", "json") as process:
        cluster.log("app", call(9) + call(4))
        _, written = told(process)
    assert [json.loads(line)["time"][-7:] for line in written] == ["09.000Z", "04.000Z"]


def test_services_and_operations(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster, "--limit", "1", "--service", "sqs", "--operation", "Send*") as process:
        cluster.log("app", call(1) + call(2, service="sqs", operation="ReceiveMessage"))
        cluster.log("app", call(3, service="sqs", operation="SendMessage"))
        exit_code, written = told(process)
    assert exit_code == 0
    assert "09:00:03 sqs SendMessage" in written[0]


def test_pods_that_come_are_taken_up_from_their_first_call(cluster: Lab) -> None:
    with tapping(cluster, "-l", "app=shop", "--limit", "1", logs=0) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "note: no pod with a sidecar is there yet\n"
        cluster.add(pod("app", sidecar={"state": {"waiting": {"reason": "PodInitializing"}}}), call(1))
        cluster.api.put("pods", pod("app", sidecar=READY))
        exit_code, written = told(process)
    assert exit_code == 0
    assert written[0].split()[0] in {"shop/app", "09:00:01"}


def test_a_lost_connection_loses_no_call(cluster: Lab) -> None:
    cluster.add(pod("app"), call(1))
    with tapping(cluster, "--limit", "2", "-o", "json") as process:
        cluster.log("app", call(2))
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["time"].endswith("02.000Z")
        cluster.api.faults.append(Fault(path="/log", drop=True))
        cluster.api.cut_logs()
        cluster.log("app", call(3))
        _, written = told(process)
    assert [json.loads(line)["time"][-7:] for line in written] == ["03.000Z"]


def test_it_ends_after_a_time(cluster: Lab) -> None:
    cluster.add(pod("app"), call(1))
    result = cluster.kecs("tap", "--for", "0.3")
    assert code(result) == 0
    assert result.output == ""


def test_ctrl_c_ends_it(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster) as process:
        process.send_signal(signal.SIGINT)
        assert told(process) == (EXITED_BY_CTRL_C, [])


def test_a_reader_that_leaves_ends_it(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster) as process:
        assert process.stdout is not None
        process.stdout.close()
        for second in range(3):
            cluster.log("app", call(second))
        assert process.wait(timeout=20) == 1


def test_no_more_than_fifty_at_once(cluster: Lab) -> None:
    for number in range(live.PODS_MAX + 1):
        cluster.add(pod(f"app-{number:02d}"))
    with tapping(cluster, logs=live.PODS_MAX) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert "51 pods have a sidecar: the first 50 are shown" in said
    assert cluster.followers() == live.PODS_MAX


def test_a_cluster_that_says_no(cluster: Lab) -> None:
    cluster.api.faults.append(Fault(path="/pods", status=403, message="pods is forbidden"))
    result = cluster.kecs("tap")
    assert str(result.exception) == "pods is forbidden"


def test_readings_that_end_early_tell_no_line_twice_and_lose_none(cluster: Lab) -> None:
    cluster.add(pod("app"))
    with tapping(cluster, "--limit", "5", "-o", "json") as process:
        cluster.log("app", call(3) + call(4) + call(4))
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        cluster.api.faults.append(Fault(path="/log", drop=True, after=True, times=2))
        for followers in (2, 3):
            cluster.api.cut_logs()
            cluster.api.wait(partial(began, cluster, followers))
        cluster.log("app", call(5) + call(5))
        _, written = told(process)
    assert [json.loads(line)["time"][-7:] for line in (*first, *written)] == [
        "03.000Z", "04.000Z", "04.000Z", "05.000Z", "05.000Z",
    ]  # fmt: skip
