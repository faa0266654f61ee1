"""What runs tasks: the one interface of `kubernetes` and `simulated`, and what is said across it.

Orders are levels, not edges: the reconciler repeats what it wants until it sees it, so `launch` of a task that runs and
`stop` of one that is gone do nothing. What a runtime sees it tells as sightings; it never decides what they mean.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kecs.controlplane.records import Cluster, Service, Task, TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus, Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A task that is to run."""

    task: Task
    definition: TaskDefinition
    cluster: Cluster
    service: Service | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSighting:
    """A container as its runtime sees it."""

    name: str
    status: ContainerStatus
    runtime_id: str = ""
    image_digest: str = ""
    exit_code: int | None = None
    reason: str = ""
    """E.g. `OutOfMemoryError: Container killed due to memory usage`."""
    health: Health = Health.UNKNOWN
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A task as its runtime sees it at one moment."""

    task_arn: str
    node: str = ""
    """The runtime's name of the machine it is on."""
    address: str = ""
    """IPv4 address that others reach it by."""
    host_ports: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Ports of the machine by container's name and port."""
    containers: tuple[ContainerSighting, ...] = ()
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    failure: str = ""
    """Why it can't start, as `stoppedReason` says it: `CannotPullContainerError: …`."""
    gone: bool = False
    """There is nothing of it any more: it was stopped, evicted or never made."""
    node_lost: bool = False
    """It is gone because its machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that tasks run on, as container instances show it."""

    name: str
    cpu: int
    """Units: 1,024 to a CPU."""
    memory: int
    """MiB."""
    ready: bool = True
    unschedulable: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    """ecs.availability-zone, ecs.cpu-architecture, ecs.os-type, …"""


@dataclass(frozen=True, slots=True)
class Resynced:
    """All that runs has been told since the iteration began: what was not is gone."""


class Runtime(Protocol):
    """What runs tasks."""

    @property
    def name(self) -> str:
        """Return kubernetes or simulated."""
        ...

    async def launch(self, launch: Launch) -> None:
        """Have a task run. Return when it is asked for, not when it runs; raise only what is worth a retry."""
        ...

    async def stop(self, task: Task, definition: TaskDefinition) -> None:
        """Have a task's containers end: the signal, stopTimeout, the kill."""
        ...

    async def forget(self, task: Task) -> None:
        """Remove what is left of a task that has stopped."""
        ...

    def sightings(self) -> AsyncIterator[Sighting | Node | Resynced]:
        """Yield all that is there, `Resynced`, then every change; and all again, now and then. Never ends by itself."""
        ...

    async def close(self) -> None:
        """Let go of connections. Tasks go on."""
        ...
