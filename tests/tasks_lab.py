"""Tasks for tests: definitions, sightings and lives in a few words, and a whole reconciler on a stepped clock.

life = Life(definition(container("app")), network=True)
life.sees(address="10.0.0.1").tells("PENDING", connectivity="CONNECTED")
life.sees(app="running").tells("RUNNING")
life.sees(app=exited(3)).tells("STOPPING", stopCode="EssentialContainerExited")
life.sees(gone=True).tells("STOPPED")
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from ecs_lab import NOW, PRINCIPAL, SCOPE, EcsLab, FakeIds, told_body

from kecs.controlplane import lifecycle
from kecs.controlplane.clock import SteppedClock
from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.operation import Ask, Outcome, Request
from kecs.controlplane.operations import OPERATIONS
from kecs.controlplane.reconciler import Keeper, Reconciler, launches
from kecs.controlplane.records import Cluster, Task, TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus, Health, Registration, StopCode, TaskStatus
from kecs.controlplane.runtime import ContainerSighting, Node, Runtime, Sighting
from kecs.controlplane.simulated import SimulatedRuntime
from kecs.controlplane.simulated_life import Delays
from kecs.controlplane.state import Changes
from kecs.controlplane.store import Store
from kecs.controlplane.tasks import TaskWish, describe, new_task
from kecs.controlplane.wire.parsing import parse

type Json = dict[str, Any]

STEM = f"arn:aws:ecs:{SCOPE.region}:{SCOPE.account}"
CLUSTER = Cluster(arn=f"{STEM}:cluster/default", name="default", created_at=NOW)
NETWORK: Json = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": [], "assignPublicIp": "DISABLED"}}


FARGATE: Json = {"launchType": "FARGATE", "networkConfiguration": NETWORK}


def node(name: str, **fields: Any) -> Node:
    said: Json = {"cpu": 1024, "memory": 2048, "attributes": {"ecs.availability-zone": "us-east-1a"}, **fields}
    return Node(name=name, **said)


def tasks_api() -> EcsLab:
    """A cluster with a definition for Fargate (web) and one for machines (job)."""
    found = EcsLab()
    found.call("CreateCluster", {"clusterName": "default", "capacityProviders": ["FARGATE", "FARGATE_SPOT"]})
    register(
        found,
        "web",
        {"name": "app", "image": "app:1"},
        {"name": "side", "image": "side:1", "essential": False},
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        tags=[{"key": "of", "value": "definition"}],
    )
    register(found, "job", {"name": "app", "image": "app:1", "cpu": 512, "memory": 256, "portMappings": []})
    return found


def register(lab: EcsLab, family: str, *containers: Json, **members: Any) -> str:
    params = {"family": family, "containerDefinitions": list(containers), **members}
    return str(lab.call("RegisterTaskDefinition", params)["taskDefinition"]["taskDefinitionArn"])


def machines(lab: EcsLab, *nodes: Node) -> list[str]:
    """Give the cluster machines; return the ARNs of their container instances."""
    known = {one.name: one for one in nodes}
    lab.store.apply(kept_instances(lab.state, known, synced=True, now=lab.now, ids=lab.ids))
    return [one.arn for one in lab.state.instances_of_cluster(f"{STEM}:cluster/default")]


def run_task(lab: EcsLab, family: str = "web", **params: Any) -> list[Json]:
    said = {**(FARGATE if family == "web" else {}), **params, "taskDefinition": family}
    answer = lab.call("RunTask", said)
    assert answer["failures"] == []
    return list(answer["tasks"])


def container(name: str, *needs: tuple[str, str], **members: Any) -> Json:
    """Return a container definition; it depends on others by (name, condition)."""
    said: Json = {"name": name, "image": f"{name}:1", "essential": True, "cpu": 10, "memory": 64, **members}
    return {**said, "dependsOn": [{"containerName": on, "condition": condition} for on, condition in needs]}


def definition(*containers: Json, family: str = "web", revision: int = 1, **members: Any) -> TaskDefinition:
    return TaskDefinition(
        arn=f"{STEM}:task-definition/{family}:{revision}",
        family=family,
        revision=revision,
        document={"containerDefinitions": list(containers or [container("app")]), **members},
        registered_at=NOW,
    )


def exited(code: int | None, *, reason: str = "", at: datetime | None = None) -> ContainerSighting:
    return ContainerSighting(
        name="", status=ContainerStatus.STOPPED, exit_code=code, reason=reason, started_at=at, finished_at=at
    )


SEEN: Mapping[str, ContainerSighting] = {
    "pending": ContainerSighting(name="", status=ContainerStatus.PENDING),
    "running": ContainerSighting(name="", status=ContainerStatus.RUNNING),
    "healthy": ContainerSighting(name="", status=ContainerStatus.RUNNING, health=Health.HEALTHY),
    "unhealthy": ContainerSighting(name="", status=ContainerStatus.RUNNING, health=Health.UNHEALTHY),
}


@dataclass
class Life:
    """One task, told what its runtime sees; a second passes between two sightings."""

    definition: TaskDefinition
    launch_type: str = "EC2"
    registration: Registration = Registration.NONE
    now: datetime = NOW
    sighting: Sighting | None = None
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        vpc = self.definition.network_mode == "awsvpc"
        wish = TaskWish(network=NETWORK if vpc else None, launch_type=self.launch_type, registration=self.registration)
        self.task = new_task(cluster=CLUSTER, definition=self.definition, wish=wish, now=self.now, ids=FakeIds())

    def sees(self, seen: Mapping[str, str | ContainerSighting] | None = None, /, **fields: Any) -> Self:
        """See containers by name, and the fields of a sighting. What is not said is as it was, unless all is gone."""
        known = {one.name: one for one in self.sighting.containers} if self.sighting else {}
        for name, how in (seen or {}).items():
            found = SEEN[how] if isinstance(how, str) else how
            began = known[name].started_at if name in known else None
            runs = found.status is ContainerStatus.RUNNING
            known[name] = replace(
                found, name=name, started_at=found.started_at or began or (self.now if runs else None)
            )
        before = self.sighting or Sighting(task_arn=self.task.arn)
        self.sighting = replace(before, containers=() if fields.get("gone") else tuple(known.values()), **fields)
        return self.passes()

    def passes(self, seconds: float = 1) -> Self:
        """Let time pass, with nothing new to be seen."""
        self.now += timedelta(seconds=seconds)
        self.task = lifecycle.advance(self.task, self.definition, self.sighting, self.now)
        return self

    def stops(self, code: StopCode = StopCode.USER_INITIATED, reason: str = lifecycle.STOPPED_BY_USER) -> Self:
        self.task = lifecycle.stop(self.task, code, reason, self.now)
        return self.passes()

    def registers(self, registration: Registration) -> Self:
        self.task = replace(self.task, registration=registration)
        return self.passes()

    def tells(self, status: str, **members: Any) -> Self:
        """Assert what a client sees: the status, and members of the task by AWS's names."""
        told = told_body(describe(self.task))
        assert {"lastStatus": told["lastStatus"], **{name: told.get(name) for name in members}} == {
            "lastStatus": status,
            **members,
        }
        return self

    def tells_of(self, name: str, **members: Any) -> Self:
        """Assert what a client sees of one container."""
        told = next(one for one in told_body(describe(self.task))["containers"] if one["name"] == name)
        assert {member: told.get(member) for member in members} == members
        return self

    def orders(self, order: str) -> Self:
        """Assert what the runtime is told."""
        assert lifecycle.orders(self.task, self.sighting).value == order
        return self


@dataclass
class Rig:
    """A store, a runtime and a reconciler on a clock that moves when nothing else is to be done."""

    store: Store
    clock: SteppedClock
    runtime: Runtime
    reconciler: Reconciler
    ids: FakeIds
    log: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def call(self, operation: str, params: Json | None = None) -> Any:
        """Call an operation, keep its changes, return what its client is told."""
        request = Request(
            operation=operation,
            params=parse(operation, params or {}),
            scope=SCOPE,
            principal_arn=PRINCIPAL,
            now=self.clock.now(),
            ids=self.ids,
        )
        outcome = OPERATIONS[operation](request, self.store.state)
        assert not isinstance(outcome, Ask), outcome
        assert isinstance(outcome, Outcome)
        await self.store.commit(outcome.changes)
        return told_body(outcome.body)

    async def keep(self, *records: Any) -> None:
        await self.store.commit(Changes(put=records))

    def task(self, arn: str) -> Task:
        found = self.store.state.get(Task, arn)
        assert found is not None, f"{arn} is lost"
        return found

    async def settle(self) -> None:
        """Let all happen that happens now."""
        for _ in range(60):
            await asyncio.sleep(0)
            await self.store.committed()

    async def until(self, holds: Callable[[], object], *, within: timedelta = timedelta(hours=3)) -> None:
        """Let happen what happens, and time pass, until something holds."""
        end, deadline = self.clock.now() + within, time.monotonic() + 60
        while not holds():
            await self.settle()
            if holds():
                return
            assert self.clock.now() < end, f"not within {within}: {self.reconciler.health()}"
            assert time.monotonic() < deadline, f"not within a minute: {self.reconciler.health()}"
            if (then := self.clock.next) is not None:
                self.clock.move(then - self.clock.now())

    async def becomes(self, status: str, *arns: str) -> list[Task]:
        """Wait until tasks have a status."""
        await self.until(lambda: all(self.task(arn).last_status is TaskStatus(status) for arn in arns))
        return [self.task(arn) for arn in arns]


@asynccontextmanager
async def rig(
    path: str | Path = ":memory:",
    *,
    clock: SteppedClock | None = None,
    runtime: Callable[[Store, SteppedClock], Runtime] | None = None,
    keepers: Iterable[Keeper] = (),
    delays: Delays | None = None,
    ids: FakeIds | None = None,
) -> AsyncIterator[Rig]:
    """Run a reconciler; end it as a killed process would end."""
    clock, ids = clock or SteppedClock(NOW), ids or FakeIds()
    store = Store.open(path)
    made = (
        runtime(store, clock)
        if runtime is not None
        else SimulatedRuntime(clock, known=lambda: launches(store.state), delays=delays)
    )
    log: list[tuple[str, Mapping[str, Any]]] = []
    reconciler = Reconciler(
        store, made, clock=clock, ids=ids, log=lambda name, fields: log.append((name, fields)), keepers=keepers
    )
    running = asyncio.ensure_future(reconciler.run())
    try:
        yield Rig(store=store, clock=clock, runtime=made, reconciler=reconciler, ids=ids, log=log)
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.close()
        store.close()


def run[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run an asynchronous test."""

    async def bounded() -> T:
        async with asyncio.timeout(120):
            return await scene()

    return asyncio.run(bounded())
