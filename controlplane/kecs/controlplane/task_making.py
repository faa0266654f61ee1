"""New tasks: what one is before anything has been seen of it. Pure."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from kecs.controlplane import overrides
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import Cluster, ContainerInstance, Service, TaskDefinition
from kecs.controlplane.records.services import Deployment
from kecs.controlplane.records.tasks import Container, Registration, Task, TaskStatus
from kecs.controlplane.state import Scope

type Json = dict[str, Any]

FARGATE: Final = "FARGATE"
FARGATE_PLATFORM: Final = "1.4.0"
"""What LATEST means for Linux."""
FARGATE_STORAGE_GIB: Final = 20
ZONES: Final = ("a", "b", "c")
_INTERFACE: Final = "ElasticNetworkInterface"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWish:
    """What a task is to be, besides what its definition says: the request's part, or its service's."""

    group: str = ""
    """Empty: family:FAMILY."""
    started_by: str = ""
    service_arn: str = ""
    deployment_id: str = ""
    launch_type: str = "EC2"
    """EC2, FARGATE, EXTERNAL or MANAGED_INSTANCES: where a capacity provider was asked for, its own."""
    capacity_provider: str = ""
    platform_version: str = ""
    network: Json | None = None
    overrides: Json = field(default_factory=dict)
    """By AWS's names, checked against the definition."""
    container_instance_arn: str = ""
    node: str = ""
    """The machine it must run on; empty where the runtime may choose."""
    availability_zone: str = ""
    """Empty: one that its subnet stands for."""
    placement_constraints: tuple[Json, ...] = ()
    placement_strategy: tuple[Json, ...] = ()
    volume_configurations: tuple[Json, ...] = ()
    enable_execute_command: bool = False
    registration: Registration = Registration.NONE
    tags: Mapping[str, str] = field(default_factory=dict)
    """All that it gets: see `task_tags`."""


def new_task(*, cluster: Cluster, definition: TaskDefinition, wish: TaskWish, now: datetime, ids: Ids) -> Task:
    """Return a task that nobody has begun yet: PROVISIONING where it gets a network interface, else PENDING."""
    scope = Scope.of(cluster.arn)
    stem = f"arn:{scope.partition}:ecs:{scope.region}:{scope.account}"
    task_id = ids.hex32()
    merged = overrides.applied(definition, wish.overrides)
    fargate = wish.launch_type == FARGATE
    cpu, memory = _size(merged)
    return Task(
        arn=f"{stem}:task/{cluster.name}/{task_id}",
        cluster_arn=cluster.arn,
        definition_arn=definition.arn,
        last_status=TaskStatus.PROVISIONING if definition.network_mode == "awsvpc" else TaskStatus.PENDING,
        containers=tuple(
            _container(one, f"{stem}:container/{cluster.name}/{task_id}/{ids.uuid()}", wish)
            for one in merged.containers
        ),
        overrides=wish.overrides,
        group=wish.group or f"family:{definition.family}",
        started_by=wish.started_by,
        service_arn=wish.service_arn,
        deployment_id=wish.deployment_id,
        launch_type=wish.launch_type,
        capacity_provider=wish.capacity_provider,
        platform_version=_platform(wish) if fargate else "",
        platform_family="Linux" if fargate else "",
        container_instance_arn=wish.container_instance_arn,
        node=wish.node,
        reserved_ports=() if fargate else tuple(_reserved(merged)),
        availability_zone=wish.availability_zone or zone(scope.region, wish.network, task_id),
        cpu=cpu,
        memory=memory,
        ephemeral_storage=_storage(merged, fargate=fargate),
        network=wish.network,
        attachments=_attachments(definition, wish, ids),
        attributes=({"name": "ecs.cpu-architecture", "value": _architecture(definition)},),
        volume_configurations=wish.volume_configurations,
        placement_constraints=wish.placement_constraints,
        placement_strategy=wish.placement_strategy,
        enable_execute_command=wish.enable_execute_command,
        registration=wish.registration,
        tags=dict(wish.tags),
        created_at=now,
    )


def task_tags(
    given: Mapping[str, str], propagated: Mapping[str, str], *, managed: bool, cluster: Cluster, service: str = ""
) -> dict[str, str]:
    """Return a task's tags: those that were given go before those it inherits; AWS's own where they are enabled."""
    names = {"aws:ecs:clusterName": cluster.name} | ({"aws:ecs:serviceName": service} if service else {})
    return {**propagated, **given, **(names if managed else {})}


def zone(region: str, network: Json | None, task_id: str) -> str:
    """Return the availability zone of a task's subnet, the same for the same subnet; without one, any."""
    subnets = ((network or {}).get("awsvpcConfiguration") or {}).get("subnets") or [task_id]
    subnet = subnets[int(task_id[-4:], 16) % len(subnets)]
    return region + ZONES[zlib.crc32(subnet.encode()) % len(ZONES)]


def _reserved(definition: TaskDefinition) -> Iterator[str]:
    """Yield the ports that a task takes of its machine; those that its machine chooses are none."""
    if definition.network_mode not in {"bridge", "host"}:
        return
    for container in definition.containers:
        for port in container.get("portMappings") or ():
            fixed = port.get("hostPort") or (port.get("containerPort") if definition.network_mode == "host" else 0)
            if fixed:
                yield f"{port.get('protocol') or 'tcp'}/{fixed}"


def _platform(wish: TaskWish) -> str:
    return FARGATE_PLATFORM if wish.platform_version in {"", "LATEST"} else wish.platform_version


def _architecture(definition: TaskDefinition) -> str:
    said = (definition.document.get("runtimePlatform") or {}).get("cpuArchitecture", "X86_64")
    return {"X86_64": "x86_64", "ARM64": "arm64"}.get(said, str(said).lower())


def _size(definition: TaskDefinition) -> tuple[str, str]:
    """Return a task's cpu and memory: its own, or its containers' together."""
    containers = definition.containers
    cpu = definition.document.get("cpu") or sum(int(one.get("cpu") or 0) for one in containers)
    memory = definition.document.get("memory") or sum(
        int(one.get("memory") or one.get("memoryReservation") or 0) for one in containers
    )
    return str(cpu), str(memory)


def _storage(definition: TaskDefinition, *, fargate: bool) -> Json | None:
    said: Json | None = definition.document.get("ephemeralStorage")
    return said or ({"sizeInGiB": FARGATE_STORAGE_GIB} if fargate else None)


def _container(one: Json, arn: str, wish: TaskWish) -> Container:
    agent: Json = {"name": "ExecuteCommandAgent", "lastStatus": "PENDING"}
    return Container(
        arn=arn,
        name=one["name"],
        image=one["image"],
        essential=one.get("essential", True),
        cpu=str(one.get("cpu") or 0),
        memory=str(one.get("memory") or ""),
        memory_reservation=str(one.get("memoryReservation") or ""),
        managed_agents=(agent,) if wish.enable_execute_command else (),
    )


def _attachments(definition: TaskDefinition, wish: TaskWish, ids: Ids) -> tuple[Json, ...]:
    """Return the network interface of a task that gets its own: its address comes when the runtime tells it."""
    if definition.network_mode != "awsvpc":
        return ()
    subnets = ((wish.network or {}).get("awsvpcConfiguration") or {}).get("subnets") or ()
    details = [{"name": "subnetId", "value": subnets[0]}] if subnets else []
    return ({"id": ids.uuid(), "type": _INTERFACE, "status": "PRECREATED", "details": details},)


def service_wish(
    service: Service,
    deployment: Deployment,
    *,
    cluster: Cluster,
    definition: TaskDefinition,
    instance: ContainerInstance | None = None,
    registration: Registration = Registration.NONE,
) -> TaskWish:
    """Return what a task of a service's deployment is to be; on one machine, where an instance is given."""
    propagated = {"SERVICE": service.tags, "TASK_DEFINITION": definition.tags}.get(service.propagate_tags, {})
    strategy = deployment.capacity_provider_strategy
    provider = chosen_provider(strategy) if strategy else ""
    return TaskWish(
        group=f"service:{service.name}",
        started_by=deployment.id,
        service_arn=service.arn,
        deployment_id=deployment.id,
        launch_type=launch_type_of(provider) if provider else deployment.launch_type or "EC2",
        capacity_provider=provider,
        platform_version=deployment.platform_version,
        network=deployment.network,
        container_instance_arn=instance.arn if instance else "",
        node=instance.node if instance else "",
        availability_zone=instance_zone(instance) if instance else "",
        placement_constraints=service.placement_constraints,
        placement_strategy=service.placement_strategy,
        enable_execute_command=service.enable_execute_command,
        registration=registration,
        tags=task_tags({}, propagated, managed=service.enable_ecs_managed_tags, cluster=cluster, service=service.name),
    )


def chosen_provider(strategy: Iterable[Json], running: Mapping[str, int] | None = None) -> str:
    """Return the capacity provider of the next task: bases first, then the one furthest behind its weight."""
    counts = running or {}
    items = list(strategy)
    for one in items:
        if counts.get(one["capacityProvider"], 0) < one.get("base", 0):
            return str(one["capacityProvider"])
    weighted = [one for one in items if one.get("weight", 0)] or items
    behind = min(
        weighted,
        key=lambda one: (
            max(0, counts.get(one["capacityProvider"], 0) - one.get("base", 0) + 1) / (one.get("weight") or 1)
        ),
    )
    return str(behind["capacityProvider"])


def launch_type_of(provider: str) -> str:
    """Return the launch type of a capacity provider's tasks."""
    return FARGATE if provider in {"FARGATE", "FARGATE_SPOT"} else "EC2"


def instance_zone(instance: ContainerInstance) -> str:
    """Return the availability zone of a container instance; empty where it has said none."""
    named = (one.get("value", "") for one in instance.attributes if one.get("name") == "ecs.availability-zone")
    return str(next(named, ""))
