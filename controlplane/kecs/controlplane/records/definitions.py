"""Task definitions."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

type Json = dict[str, Any]


class DefinitionStatus(StrEnum):
    """A task definition's."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """One revision. Revisions of a family only grow, also after deletions."""

    arn: str
    family: str
    revision: int
    status: DefinitionStatus = DefinitionStatus.ACTIVE
    document: Json
    """What was registered, normalised as AWS gives it back, by AWS's names: containerDefinitions, networkMode, cpu
    and memory as decimal strings, volumes, … Without what the other fields say."""
    tags: dict[str, str] = field(default_factory=dict)
    registered_at: datetime
    registered_by: str = ""
    deregistered_at: datetime | None = None
    delete_requested_at: datetime | None = None

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn

    @property
    def containers(self) -> list[Json]:
        """Its containerDefinitions."""
        containers: list[Json] = self.document["containerDefinitions"]
        return containers

    @property
    def network_mode(self) -> str:
        """Return awsvpc, bridge, host or none; bridge where nothing was said."""
        return str(self.document.get("networkMode") or "bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is left of a family when all its revisions are deleted: how far its numbers have come."""

    arn: str
    """Of a task definition, without the revision."""
    last_revision: int

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn
