"""Tasks as answers have them. Pure."""

from typing import Any

from kecs.controlplane import tagging
from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import Container

type Json = dict[str, Any]


def describe(task: Task, *, tags: bool = False) -> Json:
    """Return a task by AWS's names; what is not known is None, and its tags are there only when they are asked for."""
    return {
        "taskArn": task.arn,
        "clusterArn": task.cluster_arn,
        "taskDefinitionArn": task.definition_arn,
        "containerInstanceArn": task.container_instance_arn or None,
        "overrides": _overrides(task),
        "lastStatus": task.last_status.value,
        "desiredStatus": task.desired_status.value,
        "healthStatus": task.health.value,
        "cpu": task.cpu,
        "memory": task.memory,
        "containers": [_container(one, task) for one in task.containers],
        "startedBy": task.started_by or None,
        "version": task.version,
        "stopCode": task.stop_code.value if task.stop_code else None,
        "stoppedReason": task.stopped_reason or None,
        "connectivity": task.connectivity or None,
        "group": task.group,
        "launchType": task.launch_type or None,
        "capacityProviderName": task.capacity_provider or None,
        "platformVersion": task.platform_version or None,
        "platformFamily": task.platform_family or None,
        "attachments": list(task.attachments),
        "attributes": list(task.attributes),
        "availabilityZone": task.availability_zone or None,
        "enableExecuteCommand": task.enable_execute_command,
        "inferenceAccelerators": [],
        "ephemeralStorage": task.ephemeral_storage,
        "fargateEphemeralStorage": task.ephemeral_storage if task.launch_type == "FARGATE" else None,
        "tags": tagging.to_wire(task.tags) if tags else [],
        **_times(task),
    }


def _times(task: Task) -> Json:
    return {
        "createdAt": task.created_at,
        "connectivityAt": task.connectivity_at,
        "pullStartedAt": task.pull_started_at,
        "pullStoppedAt": task.pull_stopped_at,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "executionStoppedAt": task.execution_stopped_at,
        "stoppedAt": task.stopped_at,
    }


def _overrides(task: Task) -> Json:
    """Return the overrides; each container is named, also where nothing of it was overridden."""
    of = {one["name"]: one for one in task.overrides.get("containerOverrides") or ()}
    return {
        **task.overrides,
        "containerOverrides": [of.get(one.name, {"name": one.name}) for one in task.containers],
        "inferenceAcceleratorOverrides": task.overrides.get("inferenceAcceleratorOverrides") or [],
    }


def _container(container: Container, task: Task) -> Json:
    return {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "imageDigest": container.image_digest or None,
        "runtimeId": container.runtime_id or None,
        "lastStatus": container.status.value,
        "exitCode": container.exit_code,
        "reason": container.reason or None,
        "networkBindings": list(container.network_bindings),
        "networkInterfaces": list(container.network_interfaces),
        "healthStatus": container.health.value,
        "managedAgents": list(container.managed_agents) or None,
        "cpu": container.cpu,
        "memory": container.memory or None,
        "memoryReservation": container.memory_reservation or None,
    }
