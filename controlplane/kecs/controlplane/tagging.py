"""Tags: as requests spell them and records keep them, and the operations on those of anything that has an ARN. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kecs.controlplane.errors import ApiError, invalid, refused
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.records import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Service,
    Task,
    TaskDefinition,
    TaskSet,
)
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Scope, State

type Tagged = CapacityProvider | Cluster | ContainerInstance | Service | Task | TaskDefinition | TaskSet

MOST: Final = 50
"""Tags that a resource may have; those that AWS itself gives it don't count."""

RESERVED: Final = "aws:"
"""What no key of a client's begins with, however it is spelled."""

_LONG_FORM: Final = "Long arn format must be used for tagging operations"
_NO_ARN: Final = "Invalid resource ARN."


def to_wire(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as an answer has them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def from_wire(
    tags: Iterable[Mapping[str, Any]] | None, *, refusal: Callable[[str], ApiError] = invalid
) -> dict[str, str]:
    """Return a request's tags as records keep them. Raise what `refusal` makes for those that can't be."""
    found: dict[str, str] = {}
    for tag in tags or ():
        key, value = tag.get("key"), tag.get("value")
        if not key:
            raise refusal("Tag key can not be null or empty.")
        _check_key(key, refusal)
        if key in found:
            raise refusal(f"Duplicate tag keys are not allowed: '{key}'.")
        found[key] = value or ""
    if len(found) > MOST:
        raise refusal(f"The maximum number of tags per resource is {MOST}.")
    return found


def _check_key(key: str, refusal: Callable[[str], ApiError]) -> None:
    if key.lower().startswith(RESERVED):
        raise refusal(f"Tag keys that begin with '{RESERVED}' are reserved for AWS: '{key}'.")


# Operations


def list_tags(request: Request, state: State) -> Outcome:
    """ListTagsForResource."""
    return Outcome(body={"tags": to_wire(_target(request, state).tags)})


def tag(request: Request, state: State) -> Outcome:
    """TagResource."""
    record = _target(request, state)
    tags = {**record.tags, **from_wire(request.params["tags"])}
    if sum(not key.lower().startswith(RESERVED) for key in tags) > MOST:
        raise ApiError("LimitExceededException", f"The maximum number of tags per resource is {MOST}.")
    return Outcome(body={}, changes=changed(replace(record, tags=tags)))


def untag(request: Request, state: State) -> Outcome:
    """UntagResource. Keys that are not there are no mistake."""
    record, keys = _target(request, state), request.params["tagKeys"]
    for key in keys:
        _check_key(key, invalid)
    tags = {key: value for key, value in record.tags.items() if key not in keys}
    return Outcome(body={}, changes=changed(replace(record, tags=tags)))


# What an ARN names


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of resource, as ARNs name it."""

    record: type[Tagged]
    noun: str
    names: int = 1
    """In a long ARN, after the kind: a cluster's, its own."""
    ended: tuple[str, str] = ("", "")
    """The status in which it has tags no longer, and the sentence that says so."""


def _inactive(noun: str) -> tuple[str, str]:
    return "INACTIVE", f"The specified {noun} is inactive. Specify an active {noun} and try again."


_KINDS: Final[Mapping[str, _Kind]] = {
    "capacity-provider": _Kind(record=CapacityProvider, noun="capacity provider"),
    "cluster": _Kind(record=Cluster, noun="cluster", ended=_inactive("cluster")),
    "container-instance": _Kind(
        record=ContainerInstance, noun="container instance", names=2, ended=_inactive("container instance")
    ),
    "service": _Kind(record=Service, noun="service", names=2, ended=_inactive("service")),
    "task": _Kind(
        record=Task,
        noun="task",
        names=2,
        ended=(TaskStatus.STOPPED, "The specified task is stopped. Specify a running task and try again."),
    ),
    "task-definition": _Kind(record=TaskDefinition, noun="task definition"),
    "task-set": _Kind(record=TaskSet, noun="task set", names=4),
}


def _target(request: Request, state: State) -> Tagged:
    """Return what a request's resourceArn names. Raise ApiError where that is nothing that has tags."""
    arn: str = request.params["resourceArn"]
    parts = arn.split(":", 5)
    name, _, rest = parts[-1].partition("/")
    kind = _KINDS.get(name)
    if len(parts) <= 5 or parts[0] != "arn" or parts[2] != "ecs" or kind is None or not rest:  # noqa: PLR2004 - an ARN's
        raise invalid(_NO_ARN)
    if kind.names > 1 and "/" not in rest:
        raise invalid(_LONG_FORM)
    if kind.record is TaskDefinition and ":" not in rest:
        raise refused("Revision is missing.")
    found = state.get(kind.record, arn) if Scope.of(arn) == request.scope else None
    if found is None:
        raise _missing(request, kind)
    status, sentence = kind.ended
    if status and _status(found) == status:
        raise invalid(sentence)
    return found


def _status(record: Tagged) -> str:
    return record.last_status if isinstance(record, Task) else record.status


def _missing(request: Request, kind: _Kind) -> ApiError:
    if kind.record is Cluster:
        return ApiError("ClusterNotFoundException", "Cluster not found.")
    if kind.record is TaskDefinition:
        return refused("Unable to describe task definition.")
    sentence = f"The specified {kind.noun} was not found. Specify a valid {kind.noun} and try again."
    if request.operation == "ListTagsForResource":
        return invalid(sentence)
    return ApiError("ResourceNotFoundException", sentence)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ListTagsForResource": list_tags,
    "TagResource": tag,
    "UntagResource": untag,
}
