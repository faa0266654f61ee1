"""dependsOn and startTimeout: when a container may start, and when it never will. Pure.

As the container agent has it: a dependency that has begun and does not reach SUCCESS, COMPLETE or HEALTHY within its
own startTimeout, or that can never reach it, ends the container that waits for it, with the exit code 143.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane.records import TaskDefinition
from kecs.controlplane.records.tasks import Container, ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Sighting

type Json = dict[str, Any]

NEVER_STARTED: Final = 143
"""The exit code of a container that was ended before it began: the agent gives it SIGTERM's."""

_MET: Final[Mapping[str, Callable[[ContainerSighting], bool]]] = {
    "START": lambda seen: seen.status is not ContainerStatus.PENDING,
    "COMPLETE": lambda seen: seen.status is ContainerStatus.STOPPED,
    "SUCCESS": lambda seen: seen.status is ContainerStatus.STOPPED and seen.exit_code == 0,
    "HEALTHY": lambda seen: seen.health is Health.HEALTHY,
}

_REASON: Final = "dependency graph: container ordering dependency [{}] for target [{}] {}"


def may_start(container: Json, seen: Mapping[str, ContainerSighting]) -> bool:
    """Return whether all that a container waits for has come."""
    return all(
        one["containerName"] in seen and _MET[one["condition"]](seen[one["containerName"]])
        for one in container.get("dependsOn") or ()
    )


def blocked(
    containers: tuple[Container, ...], definition: TaskDefinition, sighting: Sighting, now: datetime
) -> tuple[Container, ...]:
    """Return a task's containers, those stopped that wait for what will never come."""
    found = {one.name: one for one in containers}
    seen = {one.name: one for one in sighting.containers}
    for target in dependents_last(definition):
        waiting = found.get(target["name"])
        if waiting is None or waiting.status is not ContainerStatus.PENDING:
            continue
        for one in target.get("dependsOn") or ():
            name = one["containerName"]
            late = (deadline := _deadline(one, definition, seen)) is not None and deadline <= now
            why = "has timed out." if late else _never(one["condition"], found.get(name), seen.get(name))
            if why:
                reason = _REASON.format(name, target["name"], why)
                stopped = replace(waiting, status=ContainerStatus.STOPPED, exit_code=NEVER_STARTED, reason=reason)
                found[target["name"]] = stopped
                break
    return tuple(found[one.name] for one in containers)


def next_timeout(definition: TaskDefinition, sighting: Sighting) -> datetime | None:
    """Return when the first startTimeout passes of a container that another one waits for."""
    seen = {one.name: one for one in sighting.containers}
    waits = (
        deadline
        for container in definition.containers
        if container["name"] not in seen or seen[container["name"]].status is ContainerStatus.PENDING
        for one in container.get("dependsOn") or ()
        if (deadline := _deadline(one, definition, seen))
    )
    return min(waits, default=None)


def _deadline(one: Json, definition: TaskDefinition, seen: Mapping[str, ContainerSighting]) -> datetime | None:
    """Return when a dependency must be met."""
    there = seen.get(one["containerName"])
    limit = next((it.get("startTimeout") for it in definition.containers if it["name"] == one["containerName"]), None)
    if there is None or there.started_at is None or not limit or one["condition"] == "START":
        return None
    if there.status is ContainerStatus.STOPPED or _MET[one["condition"]](there):
        return None
    return there.started_at + timedelta(seconds=limit)


def _never(condition: str, dependency: Container | None, seen: ContainerSighting | None) -> str:
    """Return why a dependency can't be met any more; empty while it may be."""
    if dependency is None or dependency.status is not ContainerStatus.STOPPED:
        return ""
    if seen is None or (seen.started_at is None and seen.exit_code is None):
        return "can't be resolved because dependency will never start."
    failed = {
        "SUCCESS": dependency.exit_code != 0 and "can't be resolved as dependency did not exit successfully.",
        "HEALTHY": "can't be resolved as dependency has stopped.",
    }
    return failed.get(condition) or ""


def dependents_last(definition: TaskDefinition) -> Iterator[Json]:
    """Yield containers, each after those it waits for. Circles, which registration refuses, as they stand."""
    left = {one["name"]: one for one in definition.containers}
    while left:
        free = [
            one for one in left.values() if not any(it["containerName"] in left for it in one.get("dependsOn") or ())
        ] or list(left.values())
        for one in free:
            del left[one["name"]]
            yield one
