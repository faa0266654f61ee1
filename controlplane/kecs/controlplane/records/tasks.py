"""Tasks and their containers."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

type Json = dict[str, Any]


class TaskStatus(StrEnum):
    """Where a task is in its life, in order."""

    PROVISIONING = "PROVISIONING"
    """Its network interface is being made: awsvpc only."""
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    """It is registered with what finds it: load balancers, service discovery."""
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


class ContainerStatus(StrEnum):
    """A container's."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Health(StrEnum):
    """What health checks say."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


class StopCode(StrEnum):
    """Why a task ended."""

    TASK_FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_CONTAINER_EXITED = "EssentialContainerExited"
    USER_INITIATED = "UserInitiated"
    SERVICE_SCHEDULER_INITIATED = "ServiceSchedulerInitiated"
    SPOT_INTERRUPTION = "SpotInterruption"
    TERMINATION_NOTICE = "TerminationNotice"
    INFRASTRUCTURE_HEALTH = "InfrastructureHealth"


class Registration(StrEnum):
    """How far a task is with the load balancers that its service names."""

    NONE = "NONE"
    """Its service names none: it waits for nothing."""
    WANTED = "WANTED"
    """It is to be registered: ACTIVATING until it is."""
    DONE = "DONE"
    """It is registered: a stop goes through DEACTIVATING."""
    GONE = "GONE"
    """It is deregistered, or was never registered and won't be: its containers may be stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a task."""

    arn: str
    name: str
    image: str
    image_digest: str = ""
    runtime_id: str = ""
    status: ContainerStatus = ContainerStatus.PENDING
    exit_code: int | None = None
    reason: str = ""
    health: Health = Health.UNKNOWN
    essential: bool = True
    cpu: str = "0"
    memory: str = ""
    memory_reservation: str = ""
    network_bindings: tuple[Json, ...] = ()
    network_interfaces: tuple[Json, ...] = ()
    managed_agents: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task, from the request that made it until it is forgotten an hour or so after its end."""

    arn: str
    cluster_arn: str
    definition_arn: str
    desired_status: TaskStatus = TaskStatus.RUNNING
    """RUNNING or STOPPED."""
    last_status: TaskStatus
    containers: tuple[Container, ...]
    overrides: Json = field(default_factory=dict)
    group: str
    """service:NAME, family:FAMILY, or what the client said."""
    started_by: str = ""
    service_arn: str = ""
    """Of the service that made it; empty for RunTask and StartTask."""
    deployment_id: str = ""
    """ecs-svc/…, of the deployment or task set that made it."""
    launch_type: str = ""
    capacity_provider: str = ""
    platform_version: str = ""
    platform_family: str = ""
    container_instance_arn: str = ""
    node: str = ""
    """The runtime's name of the machine it must run on; empty where the runtime may choose."""
    reserved_ports: tuple[str, ...] = ()
    """Ports of its machine that its definition names: tcp/8080; also before it is bound to them."""
    availability_zone: str = ""
    cpu: str = ""
    memory: str = ""
    ephemeral_storage: Json | None = None
    network: Json | None = None
    """networkConfiguration as it was asked for."""
    attachments: tuple[Json, ...] = ()
    attributes: tuple[Json, ...] = ()
    volume_configurations: tuple[Json, ...] = ()
    placement_constraints: tuple[Json, ...] = ()
    placement_strategy: tuple[Json, ...] = ()
    connectivity: str = ""
    enable_execute_command: bool = False
    health: Health = Health.UNKNOWN
    tags: dict[str, str] = field(default_factory=dict)
    version: int = 1
    stop_code: StopCode | None = None
    stopped_reason: str = ""
    created_at: datetime
    connectivity_at: datetime | None = None
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    execution_stopped_at: datetime | None = None
    stopped_at: datetime | None = None
    seen: bool = False
    """A runtime has told of it: when nothing is told any more, it is gone, and is not launched again."""
    registration: Registration = Registration.NONE
    """Written by what registers targets; a task whose containers may be stopped has NONE or GONE."""
    targets: tuple[Json, ...] = ()
    """Where it is registered: targetGroupArn, id and port of each."""
    unhealthy_in: str = ""
    """ARN of a target group whose load balancer finds it unhealthy."""
    accounted: bool = False
    """Its service's scheduler has seen that it ends: a failure counts once."""
    protected: bool = False
    protected_until: datetime | None = None

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return self.arn

    @property
    def id(self) -> str:
        """The 32 hexadecimal digits at its ARN's end."""
        return self.arn.rpartition("/")[2]
