"""A task's definition with its overrides: what is really to run. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kecs.controlplane.overrides import applied
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]

FARGATE = frozenset({"FARGATE", "MANAGED_INSTANCES"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a definition only names, once it has been fetched."""

    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Values of `secrets`, by container and variable."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Variables of environment files, by container; what `environment` sets too is not among them."""
    registries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Username and password of `repositoryCredentials`, by container."""


def containers(launch: Launch) -> list[Json]:
    """Return the container definitions with the task's overrides applied."""
    return applied(launch.definition, launch.task.overrides).containers


def document(launch: Launch) -> Json:
    """Return the definition's document with the task's overrides applied."""
    return applied(launch.definition, launch.task.overrides).document


def task_size(launch: Launch) -> tuple[int, int]:
    """Return the task's own CPU units and MiB; 0 where nothing was said of the task itself."""
    said = document(launch)
    return int(said.get("cpu") or 0), int(said.get("memory") or 0)


def ephemeral_storage(launch: Launch) -> int:
    """Return the GiB of the task's own storage; 0 where nothing was said."""
    return int((document(launch).get("ephemeralStorage") or {}).get("sizeInGiB") or 0)


def role(launch: Launch, kind: str = "taskRoleArn") -> str:
    """Return the ARN of the task's role, or of its execution role."""
    return str(document(launch).get(kind) or "")


def on_fargate(launch: Launch) -> bool:
    """Tell whether a task runs on capacity of AWS's own, where CPU is a limit."""
    if launch.task.launch_type:
        return launch.task.launch_type in FARGATE
    return launch.task.capacity_provider.startswith("FARGATE")
