"""Services, their deployments, revisions and task sets."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

type Json = dict[str, Any]


class ServiceStatus(StrEnum):
    """A service's."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    INACTIVE = "INACTIVE"
    """Deleted; still described."""


class DeploymentStatus(StrEnum):
    """A deployment's place in its service."""

    PRIMARY = "PRIMARY"
    ACTIVE = "ACTIVE"
    """An older one with tasks that run."""
    INACTIVE = "INACTIVE"


class Rollout(StrEnum):
    """How far a deployment is."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a service's history."""

    id: str
    created_at: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Tasks of a deployment or task set that ended before they were healthy, since the last that was."""

    failures: int = 0
    failed_at: datetime | None = None
    """When the last of them was seen."""
    newest_healthy_at: datetime | None = None
    """When the newest task that ever was healthy had started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of a service: what its tasks are made from."""

    id: str
    """ecs-svc/ and 19 digits."""
    status: DeploymentStatus
    definition_arn: str
    desired_count: int
    failed_tasks: int = 0
    """Failures that the circuit breaker counts: since the last task that became healthy, or since the beginning."""
    streak: Streak = field(default_factory=Streak)
    rollout: Rollout = Rollout.IN_PROGRESS
    rollout_reason: str = ""
    created_at: datetime
    updated_at: datetime
    launch_type: str = ""
    capacity_provider_strategy: tuple[Json, ...] = ()
    platform_version: str = ""
    platform_family: str = ""
    network: Json | None = None
    load_balancers: tuple[Json, ...] = ()
    further: Json = field(default_factory=dict)
    """Of the service's `further`, what is described with a deployment and makes a new one when it changes."""
    revision_arn: str = ""
    """Of its ServiceRevision."""
    service_deployment_arn: str = ""
    """Of its ServiceDeployment; a deployment and what it is rolled back to share one."""
    rollback: bool = False
    """It brings an earlier revision back after a failure or a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service."""

    arn: str
    name: str
    cluster_arn: str
    status: ServiceStatus = ServiceStatus.ACTIVE
    desired_count: int
    definition_arn: str = ""
    """Empty where a deployment controller of its own makes task sets."""
    deployments: tuple[Deployment, ...] = ()
    """The primary one first."""
    events: tuple[Event, ...] = ()
    """Newest first, a hundred at most."""
    scheduling_strategy: str = "REPLICA"
    """REPLICA or DAEMON."""
    deployment_controller: str = "ECS"
    deployment_configuration: Json = field(default_factory=dict)
    launch_type: str = ""
    capacity_provider_strategy: tuple[Json, ...] = ()
    platform_version: str = ""
    load_balancers: tuple[Json, ...] = ()
    service_registries: tuple[Json, ...] = ()
    network: Json | None = None
    placement_constraints: tuple[Json, ...] = ()
    placement_strategy: tuple[Json, ...] = ()
    health_check_grace_period_s: int | None = None
    enable_ecs_managed_tags: bool = False
    propagate_tags: str = "NONE"
    enable_execute_command: bool = False
    further: Json = field(default_factory=dict)
    """Members that are kept and given back: serviceConnectConfiguration, volumeConfigurations, …"""
    role_arn: str = ""
    created_by: str = ""
    created_at: datetime
    deleted_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)
    created_from_sha256: str = ""
    """Of CreateService's parameters, so that the same request again is known as such."""
    completed_deployment_id: str = ""
    """Of the last deployment that completed; empty while a rollback to it goes on."""
    completed_revision_arn: str = ""
    """What a rollback brings back."""
    service_deployments: tuple[str, ...] = ()
    """ARNs, newest first."""
    task_sets: tuple[str, ...] = ()
    """ARNs, oldest first."""
    told_at: dict[str, datetime] = field(default_factory=dict)
    """When its history last told of what lasts, by cause; nothing for what does not hold."""

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRevision:
    """What a service was at one deployment."""

    arn: str
    service_arn: str
    document: Json
    """As DescribeServiceRevisions gives it, by AWS's names."""
    created_at: datetime

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeployment:
    """One rollout, kept after it."""

    arn: str
    service_arn: str
    cluster_arn: str
    status: str
    """PENDING, IN_PROGRESS, SUCCESSFUL, STOPPED, STOP_REQUESTED, ROLLBACK_IN_PROGRESS, ROLLBACK_SUCCESSFUL, …"""
    status_reason: str = ""
    deployment_id: str
    """Of the deployment that it brings, also while that is rolled back."""
    source_revisions: tuple[str, ...] = ()
    target_revision: str
    configuration: Json = field(default_factory=dict)
    """deploymentConfiguration as it was when it began."""
    failure_count: int = 0
    threshold: int = 0
    rollback_reason: str = ""
    rollback_revision: str = ""
    rollback_started_at: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    stopped_at: datetime | None = None
    updated_at: datetime

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSet:
    """Part of a service whose deployments somebody else controls."""

    arn: str
    service_arn: str
    cluster_arn: str
    id: str
    """ecs-svc/ and 19 digits."""
    status: str
    """PRIMARY, ACTIVE or DRAINING."""
    definition_arn: str
    external_id: str = ""
    scale_percent: float = 100.0
    document: Json = field(default_factory=dict)
    """Further members by AWS's names."""
    stability_status: str = "STABILIZING"
    """STEADY_STATE or STABILIZING."""
    stability_status_at: datetime | None = None
    streak: Streak = field(default_factory=Streak)
    load_balancers: tuple[Json, ...] = ()
    network: Json | None = None
    launch_type: str = ""
    capacity_provider_strategy: tuple[Json, ...] = ()
    platform_version: str = ""
    created_at: datetime
    updated_at: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn
