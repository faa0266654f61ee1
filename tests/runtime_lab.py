"""A runtime that does what a test says: it runs nothing, remembers what it was told, and tells what it is given."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus
from kecs.controlplane.runtime import ContainerSighting, Launch, Node, Resynced, Sighting


class ScriptedRuntime:
    """Launches are there as soon as they are asked for, and run when `runs` says so, or at once."""

    name = "scripted"

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.there: dict[str, Sighting] = {}
        self.nodes: dict[str, Node] = {"node-a": Node(name="node-a", cpu=4096, memory=8192)}
        self.told: list[tuple[str, str]] = []
        """Orders that were carried out, with the task's ARN."""
        self.faults: list[Exception] = []
        """What the next orders raise."""
        self.unreachable: Exception | None = None
        self._news: asyncio.Queue[Sighting | Node | Resynced | Exception] = asyncio.Queue()

    def orders(self, arn: str) -> list[str]:
        return [order for order, of in self.told if of == arn]

    async def launch(self, launch: Launch) -> None:
        self._told("launch", launch.task.arn)
        if launch.task.arn not in self.there:
            self.see(Sighting(task_arn=launch.task.arn, node="node-a", address="10.0.0.1"))
            if self.at_once:
                self.runs(launch.task)

    async def stop(self, task: Task, definition: TaskDefinition) -> None:
        assert definition.arn == task.definition_arn
        self._told("stop", task.arn)
        if task.arn in self.there:
            self.ends(task, 143)

    async def forget(self, task: Task) -> None:
        self._told("forget", task.arn)
        self.vanishes(task.arn)

    async def sightings(self) -> AsyncIterator[Sighting | Node | Resynced]:
        if self.unreachable is not None:
            raise self.unreachable
        self._news = asyncio.Queue()
        for found in self._all():
            yield found
        while True:
            news = await self._news.get()
            if isinstance(news, StopAsyncIteration):
                return
            if isinstance(news, Exception):
                raise news
            yield news

    async def close(self) -> None:
        pass

    def _told(self, order: str, arn: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.told.append((order, arn))

    def see(self, sighting: Sighting) -> None:
        self.there[sighting.task_arn] = sighting
        self._news.put_nowait(sighting)

    def runs(self, task: Task) -> None:
        self.see(_sighting(task, status=ContainerStatus.RUNNING))

    def ends(self, task: Task, code: int) -> None:
        self.see(_sighting(task, status=ContainerStatus.STOPPED, exit_code=code))

    def vanishes(self, arn: str, *, silently: bool = False) -> None:
        if self.there.pop(arn, None) is not None and not silently:
            self._news.put_nowait(Sighting(task_arn=arn, gone=True))

    def tell_all(self) -> None:
        """Tell all again."""
        for found in self._all():
            self._news.put_nowait(found)

    def _all(self) -> list[Sighting | Node | Resynced]:
        return [*self.nodes.values(), *self.there.values(), Resynced()]

    def stops_telling(self) -> None:
        self._news.put_nowait(StopAsyncIteration())

    def breaks(self, error: Exception, *, for_now: bool = False) -> None:
        """Break off what is being told; nothing more can be asked until `unreachable` is None again."""
        self.unreachable = None if for_now else error
        self._news.put_nowait(error)


def _sighting(task: Task, **fields: Any) -> Sighting:
    containers = tuple(ContainerSighting(name=one.name, **fields) for one in task.containers)
    return Sighting(task_arn=task.arn, node="node-a", address="10.0.0.1", containers=containers)
