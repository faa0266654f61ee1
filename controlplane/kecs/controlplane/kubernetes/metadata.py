"""What a task is told about itself: the variables that ECS sets, and the facts for the metadata endpoint. Pure."""

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from kecs.controlplane.kubernetes.effective import on_fargate, role, task_size
from kecs.controlplane.runtime import Launch
from kecs.controlplane.state import Scope
from kecs.core.names import ECS_METADATA_IPV4

type Json = dict[str, Any]


def metadata_id(launch: Launch, container: Json) -> str:
    """Return by which name the metadata endpoint knows a container."""
    arn = next((one.arn for one in launch.task.containers if one.name == container["name"]), "")
    return f"{launch.task.id}-{int(uuid5(NAMESPACE_URL, arn or container['name'])) % 10**10:010}"


def credentials_path(launch: Launch) -> str:
    """Return where on the metadata endpoint the task's role has its credentials."""
    return f"/v2/credentials/{uuid5(NAMESPACE_URL, launch.task.arn)}"


def surroundings(launch: Launch, container: Json, *, proxied: bool) -> dict[str, str]:
    """Return the variables that ECS sets. Those of the metadata endpoint only where something answers there."""
    region = Scope.of(launch.task.arn).region
    found = {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if on_fargate(launch) else "AWS_ECS_EC2",
    }
    if proxied:
        base = f"http://{ECS_METADATA_IPV4}"
        name = metadata_id(launch, container)
        found["ECS_CONTAINER_METADATA_URI"] = f"{base}/v3/{name}"
        found["ECS_CONTAINER_METADATA_URI_V4"] = f"{base}/v4/{name}"
        found["ECS_AGENT_URI"] = f"{base}/api/{name}"
        if role(launch):
            found["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = credentials_path(launch)
    return found


def task_facts(launch: Launch, containers: Sequence[Json]) -> Json:
    """Return what the metadata endpoint is to say, by the names of `kecs.sidecar.task`."""
    task, definition = launch.task, launch.definition
    cpu, memory = task_size(launch)
    found: Json = {
        "cluster": launch.cluster.arn,
        "task_arn": task.arn,
        "family": definition.family,
        "revision": str(definition.revision),
        "role_arn": role(launch),
        "service": task.service_arn.rpartition("/")[2],
        "launch_type": "FARGATE" if on_fargate(launch) else "EC2",
        "zone": task.availability_zone,
        "cpu": cpu,
        "memory": memory,
        "created_at": task.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "tags": task.tags,
        "containers": [_container(launch, one) for one in containers],
    }
    return {name: value for name, value in found.items() if value not in ("", 0, {}, [])}


def _container(launch: Launch, container: Json) -> Json:
    arn = next((one.arn for one in launch.task.containers if one.name == container["name"]), "")
    log = container.get("logConfiguration") or {}
    options = log.get("options") or {}
    prefix = options.get("awslogs-stream-prefix", "")
    found: Json = {
        "id": metadata_id(launch, container),
        "name": container["name"],
        "image": container["image"],
        "arn": arn,
        "cpu": int(container.get("cpu") or 0),
        "memory": int(container.get("memory") or 0),
        "labels": container.get("dockerLabels") or {},
        "log_driver": log.get("logDriver") or "",
        "log_options": {
            "awslogs-group": str(options.get("awslogs-group", "")),
            "awslogs-region": str(options.get("awslogs-region", "")),
            "awslogs-stream": "/".join(filter(None, (prefix, container["name"], launch.task.id))),
        }
        if log.get("logDriver") == "awslogs"
        else {},
    }
    return {name: value for name, value in found.items() if value not in ("", 0, {}, [])}
