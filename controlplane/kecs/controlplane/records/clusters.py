"""Clusters and what belongs to them or to an account: capacity, settings, attributes."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

type Json = dict[str, Any]
"""A member of a request that is kept and given back as it came, by AWS's names."""


class ClusterStatus(StrEnum):
    """Of AWS's, those that a cluster of ours can have."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    """Deleted; still described for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster."""

    arn: str
    name: str
    status: ClusterStatus = ClusterStatus.ACTIVE
    created_at: datetime
    settings: dict[str, str] = field(default_factory=dict)
    configuration: Json | None = None
    service_connect_defaults: Json | None = None
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[Json, ...] = ()
    deleted_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInstance:
    """A node of a cluster, as ECS calls it."""

    arn: str
    cluster_arn: str
    node: str
    """The runtime's name of it; empty for one that a client registered."""
    ec2_instance_id: str = ""
    status: str = "ACTIVE"
    """ACTIVE, DRAINING, REGISTERING, INACTIVE."""
    status_reason: str = ""
    cordoned: bool = False
    """The machine was last seen to take no new tasks: when that changes, so does the status."""
    deleted_at: datetime | None = None
    """When it became INACTIVE."""
    agent_connected: bool = True
    registered_resources: tuple[Json, ...] = ()
    attributes: tuple[Json, ...] = ()
    version: int = 1
    version_info: Json = field(default_factory=dict)
    capacity_provider: str = ""
    registered_at: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityProvider:
    """A capacity provider that a client made. FARGATE and FARGATE_SPOT are there without a record."""

    arn: str
    name: str
    status: str = "ACTIVE"
    update_status: str = ""
    update_status_reason: str = ""
    kind: str = "EC2_AUTOSCALING"
    cluster: str = ""
    auto_scaling_group: Json | None = None
    managed_instances: Json | None = None
    deleted_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSetting:
    """One principal's setting, or an account's default."""

    region: str
    account: str
    principal_arn: str
    """Empty for the account's default."""
    name: str
    value: str

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return f"{self.region}/{self.account}/{self.principal_arn}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A custom attribute of a container instance."""

    cluster_arn: str
    target: str
    """ARN of the container instance."""
    name: str
    value: str = ""

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return f"{self.target}/{self.name}"
