"""What a service's next task is to be. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kecs.controlplane.arns import arn
from kecs.controlplane.records import CapacityProvider, ContainerInstance, Service, Task, TaskDefinition
from kecs.controlplane.records.services import Deployment
from kecs.controlplane.records.tasks import Registration
from kecs.controlplane.scheduling_view import ServiceView
from kecs.controlplane.state import Scope
from kecs.controlplane.task_making import FARGATE, TaskWish, task_tags

_FARGATE_PROVIDERS: Final = frozenset({"FARGATE", "FARGATE_SPOT"})
_LAUNCH_TYPES: Final[Mapping[str, str]] = {"MANAGED_INSTANCES": "MANAGED_INSTANCES"}


def wish(
    *,
    view: ServiceView,
    service: Service,
    deployment: Deployment,
    definition: TaskDefinition,
    siblings: Sequence[Task],
    instance: ContainerInstance | None,
) -> TaskWish:
    """Return what one more task of a deployment is to be, beside those it has."""
    provider = chosen_provider(deployment.capacity_provider_strategy, siblings)
    propagated = {"TASK_DEFINITION": definition.tags, "SERVICE": service.tags}.get(service.propagate_tags, {})
    return TaskWish(
        group=f"service:{service.name}",
        started_by=deployment.id,
        service_arn=service.arn,
        deployment_id=deployment.id,
        launch_type=launch_type(view, provider) if provider else deployment.launch_type or "EC2",
        capacity_provider=provider,
        platform_version=deployment.platform_version,
        network=deployment.network,
        container_instance_arn=instance.arn if instance else "",
        node=instance.node if instance else "",
        placement_constraints=service.placement_constraints,
        placement_strategy=service.placement_strategy,
        volume_configurations=tuple(service.further.get("volumeConfigurations") or ()),
        enable_execute_command=service.enable_execute_command,
        registration=Registration.WANTED if deployment.load_balancers else Registration.NONE,
        tags=task_tags(
            {}, propagated, managed=service.enable_ecs_managed_tags, cluster=view.cluster, service=service.name
        ),
    )


def chosen_provider(strategy: Iterable[Mapping[str, Any]], siblings: Sequence[Task]) -> str:
    """Return the capacity provider of the next task: bases are filled first, then weights kept. Empty without any."""
    counts: dict[str, int] = {}
    for task in siblings:
        counts[task.capacity_provider] = counts.get(task.capacity_provider, 0) + 1
    items = list(strategy)
    for item in items:
        if counts.get(item["capacityProvider"], 0) < int(item.get("base") or 0):
            return str(item["capacityProvider"])
    weighted = [item for item in items if int(item.get("weight") or 0)]
    if not weighted:
        return str(items[0]["capacityProvider"]) if items else ""

    def share(item: Mapping[str, Any]) -> float:
        beyond = counts.get(item["capacityProvider"], 0) - int(item.get("base") or 0)
        return (beyond + 1) / int(item["weight"])

    return str(min(weighted, key=share)["capacityProvider"])


def launch_type(view: ServiceView, provider: str) -> str:
    """Return the launch type that a capacity provider stands for."""
    if provider in _FARGATE_PROVIDERS:
        return FARGATE
    found = view.find(CapacityProvider, arn(Scope.of(view.cluster.arn), "capacity-provider", provider))
    return _LAUNCH_TYPES.get(found.kind, "EC2") if found else "EC2"
