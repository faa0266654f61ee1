"""The simulated runtime alone: what it tells, to whom, and when."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from ecs_lab import NOW, FakeIds
from tasks_lab import CLUSTER, NETWORK, container, definition, run

from kecs.controlplane import lifecycle
from kecs.controlplane.clock import SteppedClock
from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus, StopCode, TaskStatus
from kecs.controlplane.runtime import Launch, Node, Resynced, Sighting
from kecs.controlplane.simulated import SimulatedRuntime, nodes
from kecs.controlplane.tasks import TaskWish, new_task

IDS = FakeIds()
PORTS = [{"containerPort": 80, "protocol": "tcp"}]


class Listening:
    """A runtime, and what it has told."""

    def __init__(self, runtime: SimulatedRuntime, clock: SteppedClock) -> None:
        self.runtime, self.clock = runtime, clock
        self.told: list[Sighting | Node | Resynced] = []

    def of(self, task: Task) -> list[Sighting]:
        return [one for one in self.told if isinstance(one, Sighting) and one.task_arn == task.arn]

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await asyncio.sleep(0)
            if self.clock.next is not None and not holds():
                self.clock.move(self.clock.next - self.clock.now())

    async def listen(self) -> None:
        async with aclosing(self.runtime.sightings()) as sightings:  # type: ignore[type-var] # a generator
            async for one in sightings:
                self.told.append(one)


def scene(play: Callable[[Listening], Any], **settings: Any) -> None:
    async def played() -> None:
        clock = SteppedClock(NOW)
        listening = Listening(SimulatedRuntime(clock, **settings), clock)
        heard = asyncio.ensure_future(listening.listen())
        try:
            await listening.until(lambda: any(isinstance(one, Resynced) for one in listening.told))
            await play(listening)
        finally:
            heard.cancel()
            await asyncio.gather(heard, return_exceptions=True)
            await listening.runtime.close()

    run(played)


def launched(of: TaskDefinition, **fields: Any) -> Launch:
    task = new_task(cluster=CLUSTER, definition=of, wish=TaskWish(network=NETWORK), now=NOW, ids=IDS)
    return Launch(task=replace(task, **fields), definition=of, cluster=CLUSTER)


def ran(found: list[Sighting]) -> bool:
    return bool(found) and bool(found[-1].containers) and found[-1].containers[0].status is ContainerStatus.RUNNING


def test_machines_are_told_first_one_in_each_zone() -> None:
    async def play(heard: Listening) -> None:
        assert heard.told == [*nodes(), Resynced()]
        zones = [one.attributes["ecs.availability-zone"] for one in heard.told if isinstance(one, Node)]
        assert zones == ["a", "b", "c"]
        assert heard.runtime.name == "simulated"

    scene(play)


def test_a_task_begins_once_and_ends_once() -> None:
    async def play(heard: Listening) -> None:
        launch = launched(definition())
        await heard.runtime.launch(launch)
        await heard.runtime.launch(launch)
        await heard.until(lambda: ran(heard.of(launch.task)))
        before = heard.clock.now()
        assert before - NOW <= timedelta(seconds=1)
        await heard.runtime.stop(launch.task, launch.definition)
        await heard.runtime.stop(launch.task, launch.definition)
        await heard.until(lambda: heard.of(launch.task)[-1].containers[0].status is ContainerStatus.STOPPED)
        assert heard.of(launch.task)[-1].containers[0].finished_at == before
        await heard.runtime.forget(launch.task)
        await heard.until(lambda: heard.of(launch.task)[-1].gone)

    scene(play)


def test_what_there_is_not_is_gone() -> None:
    async def play(heard: Listening) -> None:
        launch = launched(definition())
        await heard.runtime.stop(launch.task, launch.definition)
        await heard.until(lambda: heard.of(launch.task))
        assert heard.of(launch.task) == [Sighting(task_arn=launch.task.arn, gone=True)]

    scene(play)


def test_tasks_have_addresses_of_their_own_and_keep_them() -> None:
    async def play(heard: Listening) -> None:
        launches = [launched(definition()) for _ in range(300)]
        for launch in launches:
            await heard.runtime.launch(launch)
        await heard.until(lambda: all(ran(heard.of(launch.task)) for launch in launches))
        addresses = {heard.of(launch.task)[-1].address for launch in launches}
        assert len(addresses) == 300
        assert all(address.startswith("10.") for address in addresses)

    scene(play)


def test_ports_of_a_machine_are_given_once() -> None:
    async def play(heard: Listening) -> None:
        bridge = definition(container("app", portMappings=PORTS), networkMode="bridge")
        host = definition(container("app", portMappings=[*PORTS, {"containerPortRange": "1-2"}]), networkMode="host")
        first, second = launched(bridge, node="simulated-a"), launched(bridge, node="simulated-a")
        third = launched(host, node="simulated-b")
        for launch in (first, second, third):
            await heard.runtime.launch(launch)
        await heard.until(lambda: ran(heard.of(second.task)) and ran(heard.of(third.task)))
        ports = [heard.of(one.task)[-1].host_ports for one in (first, second, third)]
        assert ports == [{("app", 80): 32768}, {("app", 80): 32769}, {("app", 80): 80}]
        await heard.runtime.forget(first.task)
        again = launched(bridge, node="simulated-a")
        await heard.runtime.launch(again)
        await heard.until(lambda: heard.of(again.task))
        assert heard.of(again.task)[-1].host_ports == {("app", 80): 32768}

    scene(play)


def test_a_task_runs_in_its_zone() -> None:
    async def play(heard: Listening) -> None:
        for zone in "abc":
            launch = launched(definition(), availability_zone=f"eu-west-1{zone}")
            await heard.runtime.launch(launch)
            await heard.until(partial(heard.of, launch.task))
            assert heard.of(launch.task)[-1].node == f"simulated-{zone}"
        nowhere = launched(definition(), availability_zone="")
        await heard.runtime.launch(nowhere)
        await heard.until(lambda: heard.of(nowhere.task))
        assert heard.of(nowhere.task)[-1].node.startswith("simulated-")

    scene(play)


def test_what_an_earlier_process_had_begun_goes_on_where_it_was() -> None:
    later = SteppedClock(NOW).now() - timedelta(minutes=5)
    sleeps = definition(container("app", command=["sleep", "60"]))
    runs, over, new = (launched(definition(), created_at=later, seen=True) for _ in range(3))
    ended = launched(sleeps, created_at=later, seen=True)
    stopping = launched(definition(), created_at=later, seen=True)
    to_end = lifecycle.stop(stopping.task, StopCode.USER_INITIATED, "", later + timedelta(minutes=1))
    known = [
        runs,
        replace(over, task=replace(over.task, last_status=TaskStatus.STOPPED)),
        replace(new, task=replace(new.task, seen=False)),
        ended,
        replace(stopping, task=to_end),
    ]

    async def play(heard: Listening) -> None:
        told = {one.task_arn: one for one in heard.told if isinstance(one, Sighting)}
        assert set(told) == {runs.task.arn, ended.task.arn, to_end.arn}
        assert ran([told[runs.task.arn]])
        [slept], [stopped] = told[ended.task.arn].containers, told[to_end.arn].containers
        assert slept.exit_code == 0
        assert slept.finished_at is not None
        assert later + timedelta(seconds=60) < slept.finished_at < later + timedelta(seconds=62)
        assert (stopped.exit_code, stopped.finished_at) == (143, later + timedelta(minutes=1))

    scene(play, known=lambda: known)


def test_an_address_is_kept_over_a_restart() -> None:
    vpc = definition(networkMode="awsvpc")
    first = launched(vpc)
    seen = Sighting(task_arn=first.task.arn, address="10.9.8.7")
    task = lifecycle.advance(first.task, vpc, seen, NOW)

    async def play(heard: Listening) -> None:
        heard.clock.move(timedelta(seconds=5))
        await heard.until(lambda: ran(heard.of(task)))
        assert heard.of(task)[-1].address == "10.9.8.7"

    scene(play, known=lambda: [replace(first, task=task)])
