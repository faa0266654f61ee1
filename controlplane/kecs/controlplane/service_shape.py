"""Services and task sets as answers have them. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Self

from kecs.controlplane import tagging
from kecs.controlplane.records import Service, Task, TaskSet
from kecs.controlplane.records.services import Deployment
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import State

type Json = dict[str, Any]

PENDING = frozenset({TaskStatus.PROVISIONING, TaskStatus.PENDING, TaskStatus.ACTIVATING})


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of a service's tasks are there, by deployment or task set."""

    running: Counter[str] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Self:
        """Count tasks by their last status, as AWS does."""
        found = cls()
        for task in tasks:
            if task.last_status is TaskStatus.RUNNING:
                found.running[task.deployment_id] += 1
            elif task.last_status in PENDING:
                found.pending[task.deployment_id] += 1
        return found


def describe(state: State, service: Service, *, tags: bool = False) -> Json:
    """Return a service by AWS's names; its tags are there only when they are asked for."""
    counts = Counts.of(state.tasks_of_service(service.arn))
    is_rolled = service.deployment_controller == "ECS"
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "loadBalancers": list(service.load_balancers),
        "serviceRegistries": list(service.service_registries),
        "status": service.status.value,
        "desiredCount": service.desired_count,
        "runningCount": counts.running.total(),
        "pendingCount": counts.pending.total(),
        "launchType": None if service.capacity_provider_strategy else service.launch_type or None,
        "capacityProviderStrategy": list(service.capacity_provider_strategy) or None,
        "platformVersion": service.platform_version or None,
        "platformFamily": service.deployments[0].platform_family or None if service.deployments else None,
        "taskDefinition": service.definition_arn or None,
        "deploymentConfiguration": service.deployment_configuration,
        "taskSets": None if is_rolled else _task_sets(state, service, counts),
        "deployments": [_deployment(one, counts) for one in service.deployments],
        "roleArn": service.role_arn or None,
        "events": [{"id": one.id, "createdAt": one.created_at, "message": one.message} for one in service.events],
        "createdAt": service.created_at,
        "currentServiceDeployment": _current(service),
        "currentServiceRevisions": _revisions(service.deployments, counts) if is_rolled else None,
        "placementConstraints": list(service.placement_constraints),
        "placementStrategy": list(service.placement_strategy),
        "networkConfiguration": service.network,
        "healthCheckGracePeriodSeconds": service.health_check_grace_period_s,
        "schedulingStrategy": service.scheduling_strategy,
        "deploymentController": {"type": service.deployment_controller},
        "tags": tagging.to_wire(service.tags) if tags else [],
        "createdBy": service.created_by or None,
        "enableECSManagedTags": service.enable_ecs_managed_tags,
        "propagateTags": service.propagate_tags,
        "enableExecuteCommand": service.enable_execute_command,
        "availabilityZoneRebalancing": service.further.get("availabilityZoneRebalancing"),
    }


def _task_sets(state: State, service: Service, counts: Counts) -> list[Json]:
    found = (state.get(TaskSet, key) for key in service.task_sets)
    return [describe_task_set(one, service, counts) for one in found if one is not None]


def _current(service: Service) -> str | None:
    arns = [one.service_deployment_arn for one in service.deployments if one.service_deployment_arn]
    return arns[0] if arns else None


def _revisions(deployments: Sequence[Deployment], counts: Counts) -> list[Json]:
    found: dict[str, Json] = {}
    for one in deployments:
        entry = found.setdefault(
            one.revision_arn,
            {"arn": one.revision_arn, "requestedTaskCount": 0, "runningTaskCount": 0, "pendingTaskCount": 0},
        )
        entry["requestedTaskCount"] += one.desired_count
        entry["runningTaskCount"] += counts.running[one.id]
        entry["pendingTaskCount"] += counts.pending[one.id]
    return list(found.values())


def _deployment(one: Deployment, counts: Counts) -> Json:
    return {
        "id": one.id,
        "status": one.status.value,
        "taskDefinition": one.definition_arn,
        "desiredCount": one.desired_count,
        "pendingCount": counts.pending[one.id],
        "runningCount": counts.running[one.id],
        "failedTasks": one.failed_tasks,
        "createdAt": one.created_at,
        "updatedAt": one.updated_at,
        "capacityProviderStrategy": list(one.capacity_provider_strategy) or None,
        "launchType": None if one.capacity_provider_strategy else one.launch_type or None,
        "platformVersion": one.platform_version or None,
        "platformFamily": one.platform_family or None,
        "networkConfiguration": one.network,
        "rolloutState": one.rollout.value,
        "rolloutStateReason": one.rollout_reason or None,
        "serviceConnectResources": None,
        **one.further,
    }


def computed_count(service: Service, task_set: TaskSet) -> int:
    """Return how many tasks a task set is to have: its part of the service's, rounded up."""
    return 0 if task_set.status == "DRAINING" else ceil(service.desired_count * task_set.scale_percent / 100)


def describe_task_set(task_set: TaskSet, service: Service, counts: Counts, *, tags: bool = False) -> Json:
    """Return a task set by AWS's names."""
    return {
        "id": task_set.id,
        "taskSetArn": task_set.arn,
        "serviceArn": task_set.service_arn,
        "clusterArn": task_set.cluster_arn,
        "externalId": task_set.external_id or None,
        "status": task_set.status,
        "taskDefinition": task_set.definition_arn,
        "computedDesiredCount": computed_count(service, task_set),
        "pendingCount": counts.pending[task_set.id],
        "runningCount": counts.running[task_set.id],
        "createdAt": task_set.created_at,
        "updatedAt": task_set.updated_at,
        "launchType": None if task_set.capacity_provider_strategy else task_set.launch_type or None,
        "capacityProviderStrategy": list(task_set.capacity_provider_strategy) or None,
        "platformVersion": task_set.platform_version or None,
        "networkConfiguration": task_set.network,
        "loadBalancers": list(task_set.load_balancers),
        "serviceRegistries": list(task_set.document.get("serviceRegistries") or ()),
        "scale": {"value": task_set.scale_percent, "unit": "PERCENT"},
        "stabilityStatus": task_set.stability_status,
        "stabilityStatusAt": task_set.stability_status_at or task_set.created_at,
        "startedBy": task_set.document.get("startedBy"),
        "platformFamily": task_set.document.get("platformFamily"),
        "tags": tagging.to_wire(task_set.tags) if tags else [],
    }
