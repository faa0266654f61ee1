"""The whole of it, from requests to records, on the simulated runtime and a clock that is moved."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from ecs_lab import NOW
from tasks_lab import CLUSTER, NETWORK, Json, Rig, rig, run

from kecs.controlplane.clock import SteppedClock
from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.reconciler import Keeping
from kecs.controlplane.records import ContainerInstance, Service, Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes

FARGATE: Json = {"launchType": "FARGATE", "networkConfiguration": NETWORK}


async def registered(one: Rig, family: str = "web", **container: Any) -> None:
    await one.keep(CLUSTER)
    params = {
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "app:1", **container}],
    }
    await one.call("RegisterTaskDefinition", params)


async def ran(one: Rig, family: str = "web", **params: Any) -> list[str]:
    answer = await one.call("RunTask", {"taskDefinition": family, **FARGATE, **params})
    assert answer["failures"] == []
    return [task["taskArn"] for task in answer["tasks"]]


def test_a_task_runs_within_a_second_and_is_told_whole() -> None:
    async def scene() -> None:
        async with rig() as one:
            await registered(one)
            [arn] = await ran(one)
            await one.becomes("RUNNING", arn)
            assert one.clock.now() - NOW < timedelta(seconds=1)
            [told] = (await one.call("DescribeTasks", {"tasks": [arn]}))["tasks"]
            assert told["connectivity"] == "CONNECTED"
            assert told["createdAt"] <= told["connectivityAt"] <= told["pullStartedAt"]
            assert told["pullStartedAt"] <= told["pullStoppedAt"] <= told["startedAt"]
            details = {detail["name"]: detail["value"] for detail in told["attachments"][0]["details"]}
            [container] = told["containers"]
            assert container["networkInterfaces"][0]["privateIpv4Address"] == details["privateIPv4Address"]
            assert container["lastStatus"] == "RUNNING"
            assert container["runtimeId"].startswith(arn.rpartition("/")[2])

    run(scene)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param(
            {"command": ["sh", "-c", "sleep 2; exit 3"]},
            ("EssentialContainerExited", "Essential container in task exited", 3),
            id="it ends",
        ),
        pytest.param(
            {"command": ["true"]}, ("EssentialContainerExited", "Essential container in task exited", 0), id="at once"
        ),
        pytest.param(
            {"dockerLabels": {"kecs.io/simulate": '{"pullFailure": "no"}'}},
            ("TaskFailedToStart", "CannotPullContainerError: no", None),
            id="its image can't be pulled",
        ),
        pytest.param(
            {"environment": [{"name": "KECS_SIMULATE", "value": '{"startFailure": "no"}'}]},
            ("TaskFailedToStart", "CannotStartContainerError: no", None),
            id="it can't be started",
        ),
    ],
)
def test_how_tasks_end(container: Json, expected: tuple[str, str, int | None]) -> None:
    async def scene() -> None:
        async with rig() as one:
            await registered(one, **container)
            [arn] = await ran(one)
            await one.becomes("STOPPED", arn)
            [told] = (await one.call("DescribeTasks", {"tasks": [arn]}))["tasks"]
            found = told["stopCode"], told["stoppedReason"], told["containers"][0].get("exitCode")
            assert found == expected
            assert (await one.call("ListTasks", {}))["taskArns"] == []
            assert (await one.call("ListTasks", {"desiredStatus": "STOPPED"}))["taskArns"] == [arn]

    run(scene)


def test_a_stop_before_anything_began() -> None:
    async def scene() -> None:
        async with rig() as one:
            await registered(one)
            [arn] = await ran(one)
            await one.call("StopTask", {"task": arn, "reason": "changed my mind"})
            [task] = await one.becomes("STOPPED", arn)
            assert (task.started_at, task.stopped_reason) == (None, "changed my mind")
            await one.until(lambda: one.reconciler.health().waiting == 0)

    run(scene)


def test_a_service_keeps_its_tasks_and_lets_them_go() -> None:
    async def scene() -> None:
        async with rig() as one:
            await registered(one)
            params = {"serviceName": "s", "taskDefinition": "web", "desiredCount": 3, **FARGATE}
            await one.call("CreateService", params)

            async def counts() -> tuple[int, int]:
                [told] = (await one.call("DescribeServices", {"services": ["s"]}))["services"]
                return told["runningCount"], len(told["deployments"])

            service = f"{CLUSTER.arn.replace(':cluster/', ':service/')}/s"
            await one.until(lambda: running(one, service) == 3)
            assert await listed(one, serviceName="s") == {task.arn for task in one.store.state.every(Task)}
            victim = next(task for task in one.store.state.tasks_of_service(service))
            await one.call("StopTask", {"task": victim.arn})
            await one.becomes("STOPPED", victim.arn)
            await one.until(lambda: running(one, service) == 3)
            assert await counts() == (3, 1)
            await one.call("UpdateService", {"service": "s", "desiredCount": 0})
            await one.until(lambda: live(one, service) == 0)
            await one.call("DeleteService", {"service": "s"})
            await one.until(lambda: status(one, service) == "INACTIVE")

    run(scene)


def running(one: Rig, service: str) -> int:
    found = one.store.state.tasks_of_service(service)
    return sum(task.last_status is TaskStatus.RUNNING and task.desired_status is TaskStatus.RUNNING for task in found)


def live(one: Rig, service: str) -> int:
    return sum(task.last_status is not TaskStatus.STOPPED for task in one.store.state.tasks_of_service(service))


def status(one: Rig, service: str) -> str:
    found = one.store.state.get(Service, service)
    return found.status.value if found else "MISSING"


def test_tasks_on_machines_run_on_the_one_that_was_told() -> None:
    def instances(keeping: Keeping) -> Changes:
        return kept_instances(keeping.state, keeping.nodes, synced=keeping.synced, now=keeping.now, ids=keeping.ids)

    async def scene() -> None:
        async with rig(keepers=(instances,)) as one:
            await one.keep(CLUSTER)
            await one.until(lambda: one.store.state.count(ContainerInstance) == 3)
            params = {"family": "job", "containerDefinitions": [{"name": "app", "image": "x", "memory": 64}]}
            await one.call("RegisterTaskDefinition", params)
            answer = await one.call("RunTask", {"taskDefinition": "job", "count": 6})
            told = {task["taskArn"]: task["containerInstanceArn"] for task in answer["tasks"]}
            assert sorted(Counter(told.values()).values()) == [2, 2, 2]
            for task in await one.becomes("RUNNING", *told):
                assert task.container_instance_arn == told[task.arn]

    run(scene)


class Client:
    """Somebody who runs and stops tasks, and remembers what was acknowledged."""

    def __init__(self, one: Rig, number: int) -> None:
        self.one, self.number = one, number
        self.chance = random.Random(number)  # noqa: S311 - the same play each time
        self.kept: set[str] = set()
        self.stopped: set[str] = set()

    async def play(self) -> None:
        for turn in range(6):
            made = await ran(
                self.one,
                count=self.chance.randint(1, 3),
                startedBy=f"client-{self.number}",
                clientToken=f"{self.number}-{turn}",
            )
            self.kept.update(made)
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
            if self.chance.random() < 0.5:
                victim = self.chance.choice(sorted(self.kept))
                await self.one.call("StopTask", {"task": victim, "reason": f"client {self.number}"})
                self.stopped.add(victim)
                self.kept.discard(victim)


def test_of_fifty_clients_tasks_none_is_lost() -> None:
    async def scene() -> None:
        async with rig() as one:
            await registered(one)
            seen: dict[str, list[Task]] = {}

            def remember(changes: Changes) -> None:
                for record in changes.put:
                    if isinstance(record, Task):
                        seen.setdefault(record.arn, []).append(record)

            one.store.subscribe(remember)
            clients = [Client(one, number) for number in range(50)]
            playing = asyncio.ensure_future(asyncio.gather(*(client.play() for client in clients)))
            await one.until(playing.done)
            await playing
            kept = {arn for client in clients for arn in client.kept}
            stopped = {arn for client in clients for arn in client.stopped}
            await one.becomes("RUNNING", *kept)
            await one.becomes("STOPPED", *stopped)
            assert set(seen) == kept | stopped
            assert {task.arn for task in one.store.state.every(Task)} == kept | stopped
            for client in clients:
                assert await listed(one, startedBy=f"client-{client.number}") == client.kept
            for life in seen.values():
                judge(life)
            assert one.reconciler.health().ok

    run(scene)


async def listed(one: Rig, **params: Any) -> set[str]:
    found: set[str] = set()
    answer = await one.call("ListTasks", params)
    found |= set(answer["taskArns"])
    while "nextToken" in answer:
        answer = await one.call("ListTasks", {**params, "nextToken": answer["nextToken"]})
        found |= set(answer["taskArns"])
    return found


def judge(life: list[Task]) -> None:
    """No status and no version goes back, and what has stopped stays."""
    order = list(TaskStatus)
    for before, after in pairwise(life):
        assert order.index(before.last_status) <= order.index(after.last_status)
        assert before.version <= after.version
        assert before.desired_status is TaskStatus.RUNNING or after.desired_status is TaskStatus.STOPPED


def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Any) -> None:
    async def before() -> dict[str, list[str]]:
        async with rig(tmp_path / "store") as one:
            await registered(one)
            await registered(one, "sleeps", command=["sleep", "3"])
            runs, ends = await ran(one, count=3), await ran(one, "sleeps", count=2)
            await one.becomes("RUNNING", *runs, *ends)
            stopping = runs.pop()
            await one.call("StopTask", {"task": stopping})
            young = await ran(one, count=4)
            return {"runs": runs, "ends": ends, "stopping": [stopping], "young": young}

    async def after(arns: dict[str, list[str]]) -> None:
        async with rig(tmp_path / "store", clock=SteppedClock(NOW + timedelta(minutes=1))) as one:
            await one.becomes("RUNNING", *arns["runs"], *arns["young"])
            for task in await one.becomes("STOPPED", *arns["ends"]):
                assert task.containers[0].exit_code == 0
                assert task.execution_stopped_at is not None
                assert task.execution_stopped_at < NOW + timedelta(seconds=10)
            [stopped] = await one.becomes("STOPPED", *arns["stopping"])
            assert stopped.stop_code == "UserInitiated"
            assert one.store.state.count(Task) == 9

    arns = run(before)
    run(lambda: after(arns))
