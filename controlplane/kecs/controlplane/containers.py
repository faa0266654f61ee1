"""A task's containers and its network interface, as what was seen of them makes them. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.records.tasks import Container, ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Sighting
from kecs.controlplane.state import Scope

type Json = dict[str, Any]

_ORDER: Final = tuple(ContainerStatus)
_WORST: Final = (Health.UNHEALTHY, Health.UNKNOWN, Health.HEALTHY)


def seen_containers(task: Task, definition: TaskDefinition, sighting: Sighting) -> tuple[Container, ...]:
    """Return a task's containers after a sighting. None goes back, and an exit code stays."""
    seen = {one.name: one for one in sighting.containers}
    checked = {one["name"] for one in definition.containers if one.get("healthCheck")}
    found = (
        _told(one, seen[one.name], checked=one.name in checked) if one.name in seen else one for one in task.containers
    )
    placed = tuple(_reached(one, task, definition, sighting) for one in found)
    return tuple(_ended(one) for one in placed) if sighting.gone else placed


def _told(container: Container, seen: ContainerSighting, *, checked: bool) -> Container:
    if container.status is ContainerStatus.STOPPED:
        return replace(
            container,
            exit_code=seen.exit_code if container.exit_code is None else container.exit_code,
            reason=container.reason or seen.reason,
        )
    return replace(
        container,
        status=max(container.status, seen.status, key=_ORDER.index),
        runtime_id=seen.runtime_id or container.runtime_id,
        image_digest=seen.image_digest or container.image_digest,
        exit_code=seen.exit_code if seen.status is ContainerStatus.STOPPED else None,
        reason=seen.reason or container.reason,
        health=seen.health if checked else Health.UNKNOWN,
    )


def _ended(container: Container) -> Container:
    """Return a container of which nothing is left: how it ended is not known."""
    return (
        container if container.status is ContainerStatus.STOPPED else replace(container, status=ContainerStatus.STOPPED)
    )


def _reached(container: Container, task: Task, definition: TaskDefinition, sighting: Sighting) -> Container:
    """Return a container with the addresses by which it is reached, once they are known."""
    interface = next((one for one in task.attachments if one["type"] == "ElasticNetworkInterface"), None)
    if interface is not None and sighting.address:
        address: Json = {"attachmentId": interface["id"], "privateIpv4Address": sighting.address}
        return replace(container, network_interfaces=(address,))
    bindings = tuple(_bindings(container.name, definition, sighting))
    return replace(container, network_bindings=bindings) if bindings else container


def _bindings(name: str, definition: TaskDefinition, sighting: Sighting) -> Iterator[Json]:
    ports = next((one.get("portMappings") or () for one in definition.containers if one["name"] == name), ())
    for port in ports:
        host = sighting.host_ports.get((name, port.get("containerPort", 0)))
        if host is not None:
            yield {
                "bindIP": "0.0.0.0",
                "containerPort": port["containerPort"],
                "hostPort": host,
                "protocol": port.get("protocol", "tcp"),
            }


def worst_health(containers: tuple[Container, ...], definition: TaskDefinition) -> Health:
    """Return a task's health: the worst of its essential containers that have a health check."""
    checked = {one["name"] for one in definition.containers if one.get("healthCheck")}
    return min(
        (one.health for one in containers if one.essential and one.name in checked),
        key=_WORST.index,
        default=Health.UNKNOWN,
    )


def attached(task: Task, address: str) -> tuple[Json, ...]:
    """Return a task's attachments with its interface attached: the ids are made of what tells tasks apart."""
    return tuple(
        one
        if one["type"] != "ElasticNetworkInterface" or one["status"] != "PRECREATED" or not address
        else {**one, "status": "ATTACHED", "details": _interface(task, one, address)}
        for one in task.attachments
    )


def _interface(task: Task, attachment: Json, address: str) -> list[Json]:
    region = Scope.of(task.arn).region
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    digits = attachment["id"].replace("-", "")
    mac = ":".join(["0a", *(digits[at : at + 2] for at in range(0, 10, 2))])
    further = {
        "networkInterfaceId": f"eni-0{digits[:16]}",
        "macAddress": mac,
        "privateDnsName": f"ip-{address.replace('.', '-')}.{domain}",
        "privateIPv4Address": address,
    }
    return [*attachment["details"], *({"name": name, "value": value} for name, value in further.items())]


def detached(task: Task) -> tuple[Json, ...]:
    """Return a task's attachments when they are deleted."""
    return tuple({**one, "status": "DELETED"} for one in task.attachments)
