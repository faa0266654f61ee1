"""The life of a task: from what its runtime sees to what AWS would say. Pure, and driven by tables.

A status only ever goes forward. What a client sees of a task changes together with its version. Times are in order:
what a runtime tells of an earlier moment than the last one known (its clock is another one, or has whole seconds) is
moved.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from kecs.controlplane import dependencies
from kecs.controlplane.containers import attached, detached, seen_containers, worst_health
from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus, Registration, StopCode, TaskStatus
from kecs.controlplane.runtime import Sighting

ORDER: Final = tuple(TaskStatus)
"""Statuses as a life passes them; each may be left out, none comes back."""

ESSENTIAL_EXITED: Final = "Essential container in task exited"
STOPPED_BY_USER: Final = "Task stopped by user"
HOST_GONE: Final = "Host EC2 (instance {}) terminated."
FARGATE_GONE: Final = "ECS is performing maintenance on the underlying infrastructure hosting the task."


class Order(StrEnum):
    """What a runtime is to be told about a task, again and again until it is so."""

    LAUNCH = "launch"
    STOP = "stop"
    FORGET = "forget"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides where a task is, when all of it is known."""

    task: Task
    definition: TaskDefinition
    sighting: Sighting | None

    @property
    def stopping(self) -> bool:
        """It is to end."""
        return self.task.desired_status is TaskStatus.STOPPED

    @property
    def interface(self) -> bool:
        """It has a network interface of its own."""
        return self.definition.network_mode == "awsvpc"

    @property
    def gone(self) -> bool:
        """Nothing of it is left on any machine."""
        return self.sighting is not None and self.sighting.gone

    @property
    def begun(self) -> bool:
        """All its containers have begun."""
        return all(one.status is not ContainerStatus.PENDING for one in self.task.containers)

    @property
    def ended(self) -> bool:
        """None of its containers runs or will."""
        return self.gone or all(one.status is ContainerStatus.STOPPED for one in self.task.containers)

    @property
    def connected(self) -> bool:
        """It has its address, or is further than that."""
        found = self.sighting
        return found is not None and bool(found.address or found.pull_started_at or self.task.started_at)


type Holds = Callable[[Facts], bool]

_FORWARD: Final[tuple[tuple[TaskStatus, TaskStatus, Holds], ...]] = (
    (TaskStatus.PROVISIONING, TaskStatus.PENDING, lambda facts: facts.connected or facts.begun),
    (TaskStatus.PENDING, TaskStatus.ACTIVATING, lambda facts: facts.begun),
    (TaskStatus.ACTIVATING, TaskStatus.RUNNING, lambda facts: facts.task.registration is not Registration.WANTED),
)
"""While a task is to run: from, to, when."""

_BACK: Final[tuple[tuple[TaskStatus, TaskStatus, Holds], ...]] = (
    (TaskStatus.DEACTIVATING, TaskStatus.STOPPING, lambda facts: facts.ended or _off(facts.task)),
    (TaskStatus.STOPPING, TaskStatus.DEPROVISIONING, lambda facts: facts.ended),
    (TaskStatus.DEPROVISIONING, TaskStatus.STOPPED, lambda facts: facts.gone or not facts.interface),
)
"""While it is to end. Before the first row it is DEACTIVATING, wherever it was."""


def _off(task: Task) -> bool:
    """Nothing sends it requests any more."""
    return task.registration in {Registration.NONE, Registration.GONE}


def advance(task: Task, definition: TaskDefinition, sighting: Sighting | None, now: datetime) -> Task:
    """Return the task as it is by what its runtime saw last; the same object when nothing is new."""
    if task.last_status is TaskStatus.STOPPED:
        return task
    found = _told(task, definition, sighting, now)
    if sighting is not None and found.desired_status is TaskStatus.RUNNING:
        found = _ended_by_itself(found, sighting)
    found = _moved(Facts(found, definition, sighting), now)
    return versioned(task, found)


def stop(task: Task, code: StopCode, reason: str, now: datetime) -> Task:
    """Return the task with the wish that it ends. The first reason stays; what has stopped stays as it is."""
    if task.desired_status is TaskStatus.STOPPED:
        return task
    return versioned(
        task,
        replace(
            task,
            desired_status=TaskStatus.STOPPED,
            stop_code=code,
            stopped_reason=reason,
            stopping_at=_after(task, now),
        ),
    )


_UNSEEN: Final = ("version", "seen", "accounted", "registration", "node")
"""Fields that no client sees: the version does not grow with them."""


def versioned(before: Task, after: Task) -> Task:
    """Return the later one, its version grown when a client sees a difference; the earlier when there is none."""
    if after == before:
        return before
    unseen = {name: getattr(before, name) for name in _UNSEEN}
    return after if replace(after, **unseen) == before else replace(after, version=before.version + 1)


def orders(task: Task, sighting: Sighting | None) -> Order:
    """Return what the runtime is to be told.

    | wanted  | is                      | seen           | order   |
    |---------|-------------------------|----------------|---------|
    | RUNNING | anything before STOPPED | nothing        | LAUNCH  |
    | RUNNING | anything before STOPPED | something      | NOTHING |
    | STOPPED | up to DEACTIVATING      | anything       | NOTHING |
    | STOPPED | STOPPING                | not gone       | STOP    |
    | STOPPED | DEPROVISIONING, STOPPED | nothing, gone  | NOTHING |
    | STOPPED | DEPROVISIONING, STOPPED | something      | FORGET  |
    """
    there = sighting is not None and not sighting.gone
    if task.desired_status is TaskStatus.RUNNING:
        return Order.LAUNCH if sighting is None and not task.seen else Order.NOTHING
    match task.last_status:
        case TaskStatus.STOPPING:
            return Order.NOTHING if sighting is not None and sighting.gone else Order.STOP
        case TaskStatus.DEPROVISIONING | TaskStatus.STOPPED:
            return Order.FORGET if there else Order.NOTHING
        case _:
            return Order.NOTHING


def due(task: Task, definition: TaskDefinition, sighting: Sighting | None) -> datetime | None:
    """Return when something changes though nothing is told: a startTimeout passes."""
    if task.desired_status is TaskStatus.STOPPED or sighting is None:
        return None
    return dependencies.next_timeout(definition, sighting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """One way in which a task ends that nobody asked to."""

    code: StopCode
    reason: Callable[[Task, Sighting], str]
    """Return its stoppedReason; empty where it did not end this way."""


def _lost(task: Task, sighting: Sighting, *, fargate: bool) -> bool:
    return sighting.gone and sighting.node_lost and (task.launch_type == "FARGATE") is fargate


_ENDS: Final = (
    _End(
        code=StopCode.TASK_FAILED_TO_START,
        reason=lambda task, sighting: "" if task.started_at else sighting.failure,
    ),
    _End(
        code=StopCode.ESSENTIAL_CONTAINER_EXITED,
        reason=lambda task, sighting: ESSENTIAL_EXITED if _essential_exited(task, sighting) else "",
    ),
    _End(
        code=StopCode.INFRASTRUCTURE_HEALTH,
        reason=lambda _, sighting: sighting.failure,
    ),
    _End(
        code=StopCode.INFRASTRUCTURE_HEALTH,
        reason=lambda task, sighting: FARGATE_GONE if _lost(task, sighting, fargate=True) else "",
    ),
    _End(
        code=StopCode.TERMINATION_NOTICE,
        reason=lambda task, sighting: (
            HOST_GONE.format(sighting.node or task.node or "unknown") if _lost(task, sighting, fargate=False) else ""
        ),
    ),
    _End(
        code=StopCode.ESSENTIAL_CONTAINER_EXITED,
        reason=lambda _, sighting: ESSENTIAL_EXITED if sighting.gone else "",
    ),
)
"""The first that gives a reason holds. The last: somebody removed it by hand, and how it ended was not seen."""


def _essential_exited(task: Task, sighting: Sighting) -> bool:
    return any(
        one.essential and one.status is ContainerStatus.STOPPED and not (sighting.gone and one.exit_code is None)
        for one in task.containers
    )


def _ended_by_itself(task: Task, sighting: Sighting) -> Task:
    """Return a task that is to run with its end, where it can't run any more."""
    for end in _ENDS:
        if reason := end.reason(task, sighting):
            return replace(task, desired_status=TaskStatus.STOPPED, stop_code=end.code, stopped_reason=reason)
    return task


def _told(task: Task, definition: TaskDefinition, sighting: Sighting | None, now: datetime) -> Task:
    """Take over what was seen, in the order in which it happens."""
    if sighting is None:
        return task
    found = replace(
        task,
        seen=True,
        containers=dependencies.blocked(seen_containers(task, definition, sighting), definition, sighting, now),
    )
    found = replace(found, health=worst_health(found.containers, definition))
    if sighting.gone:
        return found
    facts = Facts(found, definition, sighting)
    if facts.connected or facts.begun:
        found = _stamped(found, "connectivity_at", _first(sighting, now), now)
        found = replace(found, connectivity="CONNECTED", attachments=attached(found, sighting.address))
    found = _stamped(found, "pull_started_at", sighting.pull_started_at, now)
    found = _stamped(found, "pull_stopped_at", sighting.pull_stopped_at, now)
    begun = [one.started_at for one in sighting.containers if one.started_at]
    return _stamped(found, "started_at", max(begun, default=now), now) if facts.begun and _ran(sighting) else found


def _first(sighting: Sighting, now: datetime) -> datetime:
    """Return the first moment at which a task must have had its address."""
    times = [one.started_at or one.finished_at for one in sighting.containers]
    return min(at for at in (now, sighting.pull_started_at, *times) if at is not None)


def _ran(sighting: Sighting) -> bool:
    """Something of it ran, if only for a moment."""
    return any(one.status is ContainerStatus.RUNNING or one.started_at for one in sighting.containers)


def _beginning(task: Task) -> tuple[datetime | None, ...]:
    """Return the times of a task's beginning, in order."""
    return task.created_at, task.connectivity_at, task.pull_started_at, task.pull_stopped_at, task.started_at


_STAMPS: Final = ("created_at", "connectivity_at", "pull_started_at", "pull_stopped_at", "started_at")
"""Their names, in the same order."""


def _after(task: Task, when: datetime) -> datetime:
    """Return a time, or the last known one of a task's beginning where that is later."""
    return max(when, *(at for at in _beginning(task) if at is not None))


def _stamped(task: Task, name: str, when: datetime | None, now: datetime) -> Task:
    """Return the task with one more time of its beginning: in order, never in the future, and none that comes late."""
    if when is None or any(at is not None for at in _beginning(task)[_STAMPS.index(name) :]):
        return task
    change: dict[str, Any] = {name: _after(task, min(when, now))}
    too_late = task.stopping_at is not None and change[name] > task.stopping_at
    return task if too_late else replace(task, **change)


def _moved(facts: Facts, now: datetime) -> Task:
    """Return the task as far on its way as the facts let it."""
    task = facts.task
    if not facts.stopping:
        return replace(task, last_status=_along(_FORWARD, task.last_status, facts))
    before = ORDER.index(task.last_status) < ORDER.index(TaskStatus.DEACTIVATING)
    status = _along(_BACK, TaskStatus.DEACTIVATING if before else task.last_status, facts)
    task = replace(task, last_status=status, stopping_at=task.stopping_at or _after(task, now))
    if facts.ended and task.started_at is not None and task.execution_stopped_at is None:
        task = replace(task, execution_stopped_at=_execution_stopped(task, facts.sighting, now))
    if status is not TaskStatus.STOPPED:
        return task
    last = [task.stopping_at, task.execution_stopped_at]
    stopped_at = max([_after(task, now), *(one for one in last if one is not None)])
    return replace(task, stopped_at=stopped_at, attachments=detached(task))


def _along(table: tuple[tuple[TaskStatus, TaskStatus, Holds], ...], status: TaskStatus, facts: Facts) -> TaskStatus:
    """Follow a table's rows for as long as they hold."""
    for before, after, holds in table:
        if status is before and holds(facts):
            status = after
    return status


def _execution_stopped(task: Task, sighting: Sighting | None, now: datetime) -> datetime:
    """Return when the last container ended."""
    ended = [one.finished_at for one in sighting.containers if one.finished_at] if sighting else []
    return _after(task, min(max(ended, default=now), now))
