"""The runtime without a cluster: tasks live by the clock, and no process is ever started.

What a container does is said by its definition, see `simulated_behaviour`. The life of a task follows from its record,
so that tasks go on where they were when the process is started again.
"""

import asyncio
import heapq
import itertools
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Final

from kecs.controlplane import simulated_life
from kecs.controlplane.clock import Clock
from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Launch, Node, Resynced, Sighting
from kecs.controlplane.simulated_life import Delays, TaskLife

if TYPE_CHECKING:
    from datetime import datetime

CPU: Final = 64 * 1024
MEMORY: Final = 256 * 1024
ZONES: Final = ("a", "b", "c")
_EPHEMERAL: Final = range(32768, 60999)
"""Ports that a machine gives where a definition names none."""


def nodes() -> tuple[Node, ...]:
    """Return the machines that there are: one in each of three zones of any region, larger than anybody's tests."""
    return tuple(
        Node(
            name=f"simulated-{zone}",
            cpu=CPU,
            memory=MEMORY,
            attributes={
                "ecs.availability-zone": zone,
                "ecs.cpu-architecture": "x86_64",
                "ecs.os-type": "linux",
                "ecs.instance-type": "simulated",
            },
        )
        for zone in ZONES
    )


class SimulatedRuntime:
    """Tasks by the clock."""

    def __init__(
        self,
        clock: Clock,
        *,
        known: Callable[[], Iterable[Launch]] = tuple,
        delays: Delays | None = None,
        machines: tuple[Node, ...] | None = None,
    ) -> None:
        """Start with the tasks that are known: those that an earlier process has begun."""
        self._clock = clock
        self._delays = delays or Delays()
        self._nodes = {one.name: one for one in (nodes() if machines is None else machines)}
        self._known = known
        self._lives: dict[str, TaskLife] = {}
        self._addresses: dict[str, str] = {}
        self._ports: set[tuple[str, int]] = set()
        self._due: list[tuple[datetime, int, str]] = []
        self._order = itertools.count()
        self._news: deque[Sighting] = deque()
        self._awake = asyncio.Event()

    @property
    def name(self) -> str:
        """Return simulated."""
        return "simulated"

    async def launch(self, launch: Launch) -> None:
        """Begin a task's life, once."""
        if launch.task.arn not in self._lives:
            self._begin(launch)
            self._tell(launch.task.arn)

    async def stop(self, task: Task, definition: TaskDefinition) -> None:  # noqa: ARG002 - the seam's
        """End a task's containers."""
        found = self._lives.get(task.arn)
        if found is None:
            self._say(Sighting(task_arn=task.arn, gone=True))
            return
        self._lives[task.arn] = simulated_life.stopped(found, self._clock.now(), self._delays)
        self._tell(task.arn)

    async def forget(self, task: Task) -> None:
        """Remove a task."""
        found = self._lives.pop(task.arn, None)
        if found is not None:
            self._addresses.pop(found.address, None)
            self._ports -= {(found.node, port) for port in found.host_ports.values()}
        self._say(Sighting(task_arn=task.arn, gone=True))

    async def sightings(self) -> AsyncIterator[Sighting | Node | Resynced]:
        """Yield machines, tasks, and what happens to them when it does."""
        known, self._known = self._known(), tuple
        for launch in known:
            if launch.task.seen and launch.task.last_status is not TaskStatus.STOPPED:
                self._resume(launch)
        for node in self._nodes.values():
            yield node
        self._news.clear()
        for arn, found in list(self._lives.items()):
            self._watch(arn, found)
            yield simulated_life.sight(found, self._clock.now())
        yield Resynced()
        while True:
            self._awake.clear()
            self._happen()
            while self._news:
                yield self._news.popleft()
            if not self._awake.is_set():
                await self._clock.wait(self._awake, self._due[0][0] if self._due else None)

    async def close(self) -> None:
        """Let go of nothing: there is nothing."""

    def _resume(self, launch: Launch) -> None:
        if launch.task.arn in self._lives:
            return
        self._begin(launch)
        if launch.task.desired_status is TaskStatus.STOPPED and launch.task.stopping_at is not None:
            found = self._lives[launch.task.arn]
            self._lives[launch.task.arn] = simulated_life.stopped(found, launch.task.stopping_at, self._delays)

    def _begin(self, launch: Launch) -> None:
        task = launch.task
        node = task.node if task.node in self._nodes else self._machine(task)
        self._lives[task.arn] = simulated_life.life(
            launch,
            delays=self._delays,
            node=node,
            address=self._address(task),
            host_ports=self._host_ports(launch.definition, node),
        )

    def _machine(self, task: Task) -> str:
        """Return the machine of a task's zone, or one that its id stands for."""
        names = list(self._nodes)
        zone = task.availability_zone[-1:] or "-"
        of = (one.name for one in self._nodes.values() if one.attributes["ecs.availability-zone"].endswith(zone))
        return next(of, names[int(task.id[:4], 16) % len(names)])

    def _address(self, task: Task) -> str:
        """Return an address that no other task has: the one it had, or one made of its id."""
        for one in task.attachments:
            for detail in one["details"]:
                if detail["name"] == "privateIPv4Address":
                    self._addresses[detail["value"]] = task.arn
                    return str(detail["value"])
        number = zlib.crc32(task.id.encode())
        while (address := f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}") in self._addresses:
            number += 1
        self._addresses[address] = task.arn
        return address

    def _host_ports(self, definition: TaskDefinition, node: str) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        if definition.network_mode not in {"bridge", "host"}:
            return found
        for container in definition.containers:
            for port in container.get("portMappings") or ():
                number = port.get("containerPort")
                if number is None:
                    continue
                host = port.get("hostPort") or (number if definition.network_mode == "host" else self._free(node))
                self._ports.add((node, host))
                found[container["name"], number] = host
        return found

    def _free(self, node: str) -> int:
        return next((port for port in _EPHEMERAL if (node, port) not in self._ports), 0)

    def _tell(self, arn: str) -> None:
        found = self._lives[arn]
        self._watch(arn, found)
        self._say(simulated_life.sight(found, self._clock.now()))

    def _say(self, sighting: Sighting) -> None:
        self._news.append(sighting)
        self._awake.set()

    def _watch(self, arn: str, found: TaskLife) -> None:
        at = simulated_life.next_change(found, self._clock.now())
        if at is not None:
            heapq.heappush(self._due, (at, next(self._order), arn))

    def _happen(self) -> None:
        """Tell of all whose time has come."""
        now = self._clock.now()
        told: set[str] = set()
        while self._due and self._due[0][0] <= now:
            _, _, arn = heapq.heappop(self._due)
            if arn in self._lives and arn not in told:
                told.add(arn)
                self._tell(arn)
