"""The control plane as a process."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane_lab import ControlPlane, running

from kecs.controlplane.config import ControlPlaneConfig
from kecs.controlplane.run import log_lines


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with running() as found:
        yield found


def test_it_answers_and_counts(plane: ControlPlane) -> None:
    client = plane.client()
    made = client.create_cluster(clusterName="counted")["cluster"]
    assert made["clusterArn"] == "arn:aws:ecs:eu-west-1:000000000000:cluster/counted"
    with pytest.raises(client.exceptions.ClusterNotFoundException):
        client.delete_cluster(cluster="nobody")
    text = plane.ask("/metrics")[1].decode()
    assert 'kecs_controlplane_calls_total{code="",operation="CreateCluster"} 1.0' in text
    assert 'kecs_controlplane_calls_total{code="ClusterNotFoundException",operation="DeleteCluster"} 1.0' in text
    assert 'kecs_controlplane_records{kind="Cluster"}' in text


def test_a_task_runs_on_the_simulated_runtime(plane: ControlPlane) -> None:
    client = plane.client(region="us-east-1")
    client.create_cluster(clusterName="default")
    client.register_task_definition(
        family="f", containerDefinitions=[{"name": "c", "image": "busybox", "memory": 64}], networkMode="bridge"
    )
    waiter = client.get_waiter("tasks_running")
    made = client.run_task(taskDefinition="f", launchType="EC2")["tasks"][0]
    assert made["availabilityZone"][:-1] == "us-east-1", "the request's region, not the process's own"
    waiter.wait(tasks=[made["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert 'kecs_controlplane_tasks{status="RUNNING"}' in plane.ask("/metrics")[1].decode()


def test_its_parts_tell_how_they_are(plane: ControlPlane) -> None:
    status, _ = plane.ask("/health")
    detailed = plane.told("/health/detailed")
    assert (status, detailed["status"]) == (200, "ok")
    assert {name: found["status"] for name, found in detailed["components"].items()} == {
        "store": "ok",
        "runtime": "ok",
        "targets": "ok",
        "reconciler": "ok",
    }
    assert plane.ask("/ready")[0] == plane.ask("/live")[0] == 200
    assert plane.told("/config")["runtime"] == {"value": "simulated", "source": "default"}


def test_a_neighbour_that_is_away_is_told_and_no_more() -> None:
    with running(ControlPlaneConfig(emulator="http://127.0.0.1:1")) as plane:
        found = plane.told("/health/detailed")
        assert found["components"]["emulator"]["status"] == "failing"
        assert found["status"] == "ok"


def test_what_was_made_is_there_after_its_end(tmp_path: Path) -> None:
    config = ControlPlaneConfig(data=str(tmp_path / "below" / "state.duckdb"))
    with running(config) as plane:
        plane.client().create_cluster(clusterName="kept")
    assert plane.process.returncode == 0
    with running(config) as plane:
        assert plane.client().list_clusters()["clusterArns"] == ["arn:aws:ecs:eu-west-1:000000000000:cluster/kept"]


def test_a_backup_is_everything_somewhere_else() -> None:
    with running() as first:
        first.client().create_cluster(clusterName="saved")
        status, saved = first.ask("/backup", "POST", b"")
        assert status == 200
    with running() as second:
        assert second.ask("/restore", "POST", saved)[0] == 200
        assert second.client().list_clusters()["clusterArns"] == ["arn:aws:ecs:eu-west-1:000000000000:cluster/saved"]
        status, body = second.ask("/restore", "POST", saved)
        assert (status, b"force=true" in body) == (409, True)
        assert second.ask("/restore?force=true", "POST", saved)[0] == 200
        assert second.ask("/restore?force=true", "POST", b"no backup")[0] == 409


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_it_is_told_to(number: signal.Signals) -> None:
    with running() as plane:
        plane.process.send_signal(number)
        assert plane.process.wait(40) == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"runtime":"docker"}', "runtime 'docker' is unknown"),
        ('{"data":"/proc/nobody/state.duckdb"}', "can't be made"),
    ],
)
def test_what_it_can_not_do_is_said(config: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kecs.controlplane", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        env={"KECS_CONTROLPLANE_CONFIG": config},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def _fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * select.PIPE_BUF)
    os.set_blocking(descriptor, True)


def _read(descriptor: int, last: bytes) -> bytes:
    """Read until a line has come whole."""
    found = b""
    while last not in found or not found.endswith(b"\n"):
        found += os.read(descriptor, 1 << 16)
    return found


def test_events_wait_for_no_reader_and_are_written_when_one_comes() -> None:
    reading, writing = os.pipe()
    _fill(writing)

    async def scene() -> bytes:
        with log_lines(writing) as log:
            log("internal_error", {"error": "é" * 20_000 + "the end"})
            await asyncio.to_thread(log, "told", {"by": "a thread"})
            return await asyncio.wait_for(asyncio.to_thread(_read, reading, b'"told"'), 60)

    try:
        lines = asyncio.run(scene()).lstrip(b"x").splitlines()
    finally:
        os.close(reading)
        os.close(writing)
    failed, told = (json.loads(line) for line in lines)
    assert failed["event"] == "internal_error"
    assert failed["error"].endswith("the end")
    assert told["by"] == "a thread"
