"""ECS in a run: by a control plane that the first call starts."""

import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from kecs_run import Kecs

from kecs.emulator.backend import Backend
from kecs.local.ecs import on_demand

NOBODY = Backend(scheme="http", host="127.0.0.1", port=1)
PROGRAM = """
import boto3
client = boto3.client("ecs")
client.create_cluster()
client.register_task_definition(family="f", containerDefinitions=[{"name": "c", "image": "i", "memory": 64}])
task = client.run_task(taskDefinition="f")["tasks"][0]["taskArn"]
client.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
print(client.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"])
"""


def test_nothing_is_started_without_a_call() -> None:
    with on_demand(NOBODY, region="eu-west-1", account="111122223333", accounts=()) as found:
        found.start()
        assert found.address.port
    assert found.child is None
    assert found.obituary() == ()


def test_what_was_never_asked_to_wait_ends_too() -> None:
    with on_demand(NOBODY, region="eu-west-1", account="111122223333", accounts=()) as found:
        pass
    assert found.child is None


def test_the_first_call_starts_it_and_is_answered() -> None:
    with on_demand(NOBODY, region="eu-west-1", account="111122223333", accounts=()) as found:
        found.start()
        client = boto3.client(
            "ecs",
            region_name="eu-west-1",
            endpoint_url=str(found.address),
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )
        made = client.create_cluster()["cluster"]["clusterArn"]
        assert made == "arn:aws:ecs:eu-west-1:111122223333:cluster/default"
        assert found.child is not None
        assert found.obituary() == ()
    assert found.child.process.returncode == 0


@pytest.mark.parametrize("where", ["embedded", "backend"])
def test_an_unmodified_program_runs_a_task(tmp_path: Path, where: str) -> None:
    (tmp_path / "scratch").mkdir()
    kecs = Kecs(home=tmp_path, scratch=tmp_path / "scratch")
    if where == "embedded":
        ran = kecs.run(sys.executable, "-c", PROGRAM)
        assert (ran.code, ran.out) == (0, "RUNNING\n"), ran.err
        assert {"RunTask", "DescribeTasks"} <= ran.operations("ecs")
        assert "task_status" not in ran.err
        return
    ran = kecs.run(
        sys.executable,
        "-c",
        "import boto3; print(boto3.client('ecs').create_cluster()['cluster']['status'])",
        options=["--controlplane", "backend"],
    )
    assert (ran.code, ran.out) == (0, "ACTIVE\n"), ran.err
