"""What a service's history says, in AWS's words. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Any, Final

from kecs.controlplane.operation import Ids
from kecs.controlplane.records import Service
from kecs.controlplane.records.services import Event

KEPT: Final = 100
_NAMED_MAX: Final = 100
AGAIN: Final = timedelta(hours=6)
"""After this a message whose cause lasts is told once more, as AWS's page on service events says."""


def listed(tasks: Iterable[str]) -> str:
    """Return tasks as messages name them, by their ids."""
    return " ".join(f"(task {one})" for one in tasks)


def groups(tasks: list[str]) -> Iterator[list[str]]:
    """Part tasks as messages name them, a hundred at most: histories are kept, and read whole."""
    yield from (list(group) for group in batched(tasks, _NAMED_MAX))


def started(tasks: list[str]) -> str:
    """Say that tasks were made."""
    return f"has started {len(tasks)} tasks: {listed(tasks)}."


def stopped(tasks: list[str]) -> str:
    """Say that the scheduler stops tasks."""
    return f"has stopped {len(tasks)} running tasks: {listed(tasks)}."


def registered(count: int, target_group: str) -> str:
    """Say that a target group has got targets."""
    return f"registered {count} targets in (target-group {target_group})"


def draining(count: int) -> str:
    """Say that tasks get no new connections."""
    return f"has begun draining connections on {count} tasks."


def deregistered(count: int, target_group: str) -> str:
    """Say that a target group has lost targets."""
    return f"deregistered {count} targets in (target-group {target_group})"


def not_reached(target_group: str, reason: str) -> str:
    """Say that targets could not be registered or deregistered, in the form AWS gives to what it was unable to do."""
    return f"was unable to change the targets in (target-group {target_group}). Reason: {reason}"


def failed_health_checks(task: str) -> str:
    """Say that a task's containers are unhealthy."""
    return f"(task {task}) failed container health checks."


def unhealthy_target(port: int, target_group: str, reason: str) -> str:
    """Say that a load balancer finds a task unhealthy."""
    return f"(port {port}) is unhealthy in (target-group {target_group}) due to (reason {reason})"


def completed(deployment: str) -> str:
    """Say that a rollout is done."""
    return f"(deployment {deployment}) deployment completed."


def failed(deployment: str) -> str:
    """Say that the circuit breaker ended a rollout."""
    return f"(deployment {deployment}) deployment failed: tasks failed to start."


def rolling_back(deployment: str) -> str:
    """Say that an earlier revision comes back."""
    return f"rolling back to deployment {deployment}."


_UNPLACED: Final = "was unable to place a task because no container instance met all of its requirements."
_MORE: Final = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
_CLOSEST: Final[Mapping[str, str]] = {
    "AGENT": 'encountered error "AGENT".',
    "RESOURCE:CPU": "has insufficient CPU units available.",
    "RESOURCE:MEMORY": "has insufficient memory available.",
    "RESOURCE:PORTS": "is already using a port required by your task.",
    "ATTRIBUTE": "is missing an attribute required by your task.",
}


def unplaced(failures: Sequence[Mapping[str, Any]]) -> str:
    """Say that a task has no room, by why one of the machines is none; without any there are no machines."""
    if not failures:
        return f"{_UNPLACED} Reason: No Container Instances were found in your cluster. {_MORE}"
    closest = failures[0]
    machine = str(closest["arn"]).rpartition("/")[2]
    return f"{_UNPLACED} The closest matching (container-instance {machine}) {_CLOSEST[closest['reason']]} {_MORE}"


def is_unplaced(message: str) -> bool:
    """Tell whether a message says that a task has no room."""
    return message.startswith(_UNPLACED)


STEADY: Final = "has reached a steady state."
IMPAIRED: Final = "is unable to consistently start tasks successfully."
BLOCKED: Final = (
    "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again."
)


def told(service: Service, *messages: str, task_set: str = "", now: datetime, ids: Ids) -> Service:
    """Return a service whose history has messages, of it or of one of its task sets, the last of them newest."""
    whose = f"(service {service.name}, taskSet {task_set})" if task_set else f"(service {service.name})"
    new = [Event(id=ids.uuid(), created_at=now, message=f"{whose} {message}") for message in messages]
    return replace(service, events=(*reversed(new), *service.events)[:KEPT])
