"""The whole life of a simulated task, known from its beginning: when what happens, and what is seen when. Pure."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane import overrides
from kecs.controlplane.dependencies import dependents_last
from kecs.controlplane.records import TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Launch, Sighting
from kecs.controlplane.simulated_behaviour import Behaviour, BehaviourError, behaviour

type Json = dict[str, Any]

KILLED: Final = 137
_STOP_TIMEOUT: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long what takes time on real machines takes here."""

    address: timedelta = timedelta(milliseconds=100)
    pull: timedelta = timedelta(milliseconds=150)
    start: timedelta = timedelta(milliseconds=100)
    health: timedelta = timedelta(milliseconds=200)
    """After the start period."""
    stop: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLife:
    """When what happens to a container, as long as nobody stops it."""

    name: str
    behaviour: Behaviour
    stop_timeout: timedelta
    runtime_id: str = ""
    started_at: datetime | None = None
    """None: never."""
    healthy_at: datetime | None = None
    unhealthy_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    reason: str = ""

    def met(self, condition: str) -> datetime | None:
        """Return when a dependency on it is met."""
        match condition:
            case "COMPLETE":
                return self.finished_at
            case "SUCCESS":
                return self.finished_at if self.exit_code == 0 else None
            case "HEALTHY":
                return self.healthy_at
            case _:
                return self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLife:
    """When what happens to a task."""

    task_arn: str
    node: str
    address: str
    host_ports: Mapping[tuple[str, int], int] = field(default_factory=dict)
    addressed_at: datetime
    pull_started_at: datetime
    pull_stopped_at: datetime
    failure: str = ""
    failed_at: datetime | None = None
    containers: tuple[ContainerLife, ...] = ()


def life(
    launch: Launch, *, delays: Delays, node: str, address: str, host_ports: Mapping[tuple[str, int], int] | None = None
) -> TaskLife:
    """Return what becomes of a task: told from its creation on, so that it is the same whoever asks again later."""
    task = launch.task
    definition = overrides.applied(launch.definition, task.overrides)
    addressed = task.created_at + delays.address
    pulled = addressed + delays.pull
    found = TaskLife(
        task_arn=task.arn,
        node=node,
        address=address,
        host_ports=host_ports or {},
        addressed_at=addressed,
        pull_started_at=addressed,
        pull_stopped_at=pulled,
    )
    unstarted = tuple(
        ContainerLife(name=one["name"], behaviour=Behaviour(), stop_timeout=timedelta(0))
        for one in definition.containers
    )
    try:
        behaviours = {one["name"]: behaviour(one) for one in definition.containers}
    except BehaviourError as error:
        why = f"ResourceInitializationError: {error.message}"
        return replace(found, failure=why, failed_at=addressed, containers=unstarted)
    for why in (one.pull_failure for one in behaviours.values() if one.pull_failure):
        return replace(found, failure=f"CannotPullContainerError: {why}", failed_at=pulled, containers=unstarted)
    for why in (one.start_failure for one in behaviours.values() if one.start_failure):
        failed = pulled + delays.start
        return replace(found, failure=f"CannotStartContainerError: {why}", failed_at=failed, containers=unstarted)
    return replace(found, containers=_containers(definition, behaviours, task.id, pulled + delays.start, delays))


def _containers(
    definition: TaskDefinition, behaviours: Mapping[str, Behaviour], task_id: str, first: datetime, delays: Delays
) -> tuple[ContainerLife, ...]:
    lives: dict[str, ContainerLife] = {}
    for one in dependents_last(definition):
        name = one["name"]
        waits = one.get("dependsOn") or ()
        met = [lives[it["containerName"]].met(it["condition"]) for it in waits if it["containerName"] in lives]
        still = ContainerLife(
            name=name,
            behaviour=behaviours[name],
            stop_timeout=timedelta(seconds=one.get("stopTimeout") or _STOP_TIMEOUT),
            runtime_id=f"{task_id}-{zlib.crc32(name.encode()):010d}",
        )
        times = [at for at in met if at is not None]
        lives[name] = still if len(times) < len(met) else _started(still, one, max([first, *times]), delays)
    return tuple(lives[one["name"]] for one in definition.containers)


def _started(still: ContainerLife, container: Json, at: datetime, delays: Delays) -> ContainerLife:
    does = still.behaviour
    ends = does.exit_code is not None
    finished = at + timedelta(seconds=does.after_s) if ends else None
    check = container.get("healthCheck")
    first = at + timedelta(seconds=(check or {}).get("startPeriod") or 0) + delays.health
    fails = None if does.unhealthy_after_s is None else at + timedelta(seconds=does.unhealthy_after_s)
    if fails is None and not does.healthy:
        fails = first
    healthy = first if check and does.healthy and (fails is None or first < fails) else None
    return replace(
        still,
        started_at=at,
        finished_at=finished,
        exit_code=does.exit_code,
        reason=does.reason,
        healthy_at=healthy if healthy and (finished is None or healthy < finished) else None,
        unhealthy_at=fails if check else None,
    )


def stopped(found: TaskLife, at: datetime, delays: Delays) -> TaskLife:
    """Return a life that somebody ends: containers that run get the signal, those that have not begun never do."""
    return replace(found, containers=tuple(_stopped(one, at, delays) for one in found.containers))


def _stopped(one: ContainerLife, at: datetime, delays: Delays) -> ContainerLife:
    if one.finished_at is not None and one.finished_at <= at:
        return one
    if one.started_at is None or one.started_at > at:
        return replace(one, started_at=None, healthy_at=None, unhealthy_at=None, finished_at=at, exit_code=None)
    takes = delays.stop if one.behaviour.stop_s is None else timedelta(seconds=one.behaviour.stop_s)
    killed = takes > one.stop_timeout
    ends = at + min(takes, one.stop_timeout)
    if one.finished_at is not None and one.finished_at <= ends:
        return one
    return replace(one, finished_at=ends, exit_code=KILLED if killed else one.behaviour.stop_exit_code, reason="")


def sight(found: TaskLife, now: datetime) -> Sighting:
    """Return what is seen of a task at a time."""
    failed = found.failed_at is not None and found.failed_at <= now
    pulled = found.pull_stopped_at <= now
    return Sighting(
        task_arn=found.task_arn,
        node=found.node,
        address=found.address if found.addressed_at <= now else "",
        host_ports=found.host_ports,
        containers=tuple(_sight(one, now) for one in found.containers),
        pull_started_at=found.pull_started_at if found.pull_started_at <= now else None,
        pull_stopped_at=found.pull_stopped_at if pulled else None,
        failure=found.failure if failed else "",
    )


def _sight(one: ContainerLife, now: datetime) -> ContainerSighting:
    started = one.started_at is not None and one.started_at <= now
    finished = one.finished_at is not None and one.finished_at <= now
    status = ContainerStatus.RUNNING if started else ContainerStatus.PENDING
    health = Health.UNKNOWN
    if one.healthy_at is not None and one.healthy_at <= now:
        health = Health.HEALTHY
    if one.unhealthy_at is not None and one.unhealthy_at <= now:
        health = Health.UNHEALTHY
    return ContainerSighting(
        name=one.name,
        status=ContainerStatus.STOPPED if finished else status,
        runtime_id=one.runtime_id if started else "",
        exit_code=one.exit_code if finished else None,
        reason=one.reason if finished else "",
        health=health,
        started_at=one.started_at if started else None,
        finished_at=one.finished_at if finished else None,
    )


def next_change(found: TaskLife, now: datetime) -> datetime | None:
    """Return when something else is seen of a task."""
    return min((at for at in _moments(found) if at is not None and at > now), default=None)


def _moments(found: TaskLife) -> Iterator[datetime | None]:
    yield from (found.addressed_at, found.pull_started_at, found.pull_stopped_at, found.failed_at)
    for one in found.containers:
        yield from (one.started_at, one.healthy_at, one.unhealthy_at, one.finished_at)
