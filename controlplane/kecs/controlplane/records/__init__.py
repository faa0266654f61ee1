"""What the control plane remembers: frozen values, one kind to a class, no I/O."""

from typing import Protocol

from kecs.controlplane.records.clusters import (
    AccountSetting,
    Attribute,
    CapacityProvider,
    Cluster,
    ContainerInstance,
)
from kecs.controlplane.records.definitions import Family, TaskDefinition
from kecs.controlplane.records.services import Service, ServiceDeployment, ServiceRevision, TaskSet
from kecs.controlplane.records.tasks import Task
from kecs.controlplane.records.tokens import Token

__all__ = [
    "KINDS",
    "AccountSetting",
    "Attribute",
    "CapacityProvider",
    "Cluster",
    "ContainerInstance",
    "Family",
    "Record",
    "Service",
    "ServiceDeployment",
    "ServiceRevision",
    "Task",
    "TaskDefinition",
    "TaskSet",
    "Token",
]

KINDS: tuple[type["Record"], ...] = (
    AccountSetting,
    Attribute,
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Family,
    Service,
    ServiceDeployment,
    ServiceRevision,
    Task,
    TaskDefinition,
    TaskSet,
    Token,
)
"""Every kind of record, by name: what a store holds tables for."""


class Record(Protocol):
    """What is kept: a frozen dataclass whose fields JSON can spell by way of pydantic's TypeAdapter."""

    @property
    def key(self) -> str:
        """What it is known by among all of its kind: its ARN, where it has one."""
        ...
