"""What the metadata endpoint says of the ECS task that a pod is. Without a task, one is made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from kecs.core.errors import ConfigError

_MADE_UP: Final = "kecs"
_STARTED: Final = "2026-01-01T00:00:00.000000000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContainer:
    """One of its containers. What a task definition calls image, labels and so on."""

    id: str = ""
    """What stands in ECS_CONTAINER_METADATA_URI_V4."""
    name: str = "app"
    image: str = "app"
    arn: str = ""
    cpu: int = 2
    """Units: 1,024 to a CPU."""
    memory: int = 512
    """MiB."""
    labels: Mapping[str, str] = field(default_factory=dict)
    log_driver: str = ""
    log_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """See the module. An empty ARN means that there is none."""

    task_arn: str = ""
    cluster: str = ""
    """The cluster's ARN."""
    family: str = _MADE_UP
    revision: str = "1"
    role_arn: str = ""
    service: str = ""
    launch_type: str = "FARGATE"
    zone: str = ""
    address: str = "10.0.0.10"
    cpu: int = 256
    memory: int = 512
    created_at: str = _STARTED
    tags: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[TaskContainer, ...] = (TaskContainer(),)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read values by their names; raise ConfigError for anything unknown or of the wrong type."""
        _check(cls, "task", given)
        containers = given.get("containers", [{}])
        if not isinstance(containers, list) or not containers:
            raise ConfigError(f"task.containers {containers!r} is no list of containers")
        for index, one in enumerate(containers):
            _check(TaskContainer, f"task.containers[{index}]", one)
        return cls(**{**given, "containers": tuple(TaskContainer(**one) for one in containers)})


_TYPES: Final[Mapping[str, type]] = {
    "cpu": int,
    "memory": int,
    "labels": dict,
    "log_options": dict,
    "tags": dict,
    "containers": list,
}


def _check(kind: type[Task] | type[TaskContainer], where: str, given: Any) -> None:
    if not isinstance(given, dict):
        raise ConfigError(f"{where} {given!r} is no object")
    known = [one.name for one in fields(kind)]
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{where} has no {name!r}", hint=f"it has {', '.join(known)}")
        wanted = _TYPES.get(name, str)
        if type(value) is not wanted:
            raise ConfigError(f"{where}.{name} {value!r} is no {wanted.__name__}")
        if isinstance(value, dict) and not all(isinstance(one, str) for one in value.values()):
            raise ConfigError(f"{where}.{name} {value!r} has values that are no text")
