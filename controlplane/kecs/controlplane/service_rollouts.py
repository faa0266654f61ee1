"""The beginning and the end of a service's deployments: new ids, what is kept of each, and the way back. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from kecs.controlplane import scheduling_limits
from kecs.controlplane.arns import arn
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import Record, Service, ServiceDeployment, ServiceRevision, TaskDefinition
from kecs.controlplane.records.services import Deployment, DeploymentStatus
from kecs.controlplane.scheduling_view import Lookup
from kecs.controlplane.state import Scope
from kecs.controlplane.task_making import FARGATE, FARGATE_PLATFORM

type Json = dict[str, Any]

KEPT: Final = 50
"""Rollouts that are remembered of a service, besides those that go on."""
IN_PROGRESS: Final = "IN_PROGRESS"
OPEN: Final = frozenset({"PENDING", IN_PROGRESS, "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"})
"""Statuses of a rollout that goes on."""
FURTHER: Final = ("serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations")
"""Members that are kept as they came, described with deployments, and make a new one when they change."""
SUPERSEDED: Final = "A newer service deployment has replaced this one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A service with a new primary deployment, and what else is to be kept and forgotten for it."""

    service: Service
    put: tuple[Record, ...] = ()
    delete: tuple[Record, ...] = ()


def begin(service: Service, definition: TaskDefinition, *, find: Lookup, now: datetime, ids: Ids) -> Begun:
    """Return a service that begins to roll out what it says by now."""
    revision = _revision(service, definition, now=now, ids=ids)
    scope, names = _names(service)
    rollout = ServiceDeployment(
        arn=arn(scope, "service-deployment", *names, ids.hex32()[-21:]),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        status=IN_PROGRESS,
        deployment_id=f"ecs-svc/{ids.digits19()}",
        source_revisions=tuple(dict.fromkeys(one.revision_arn for one in service.deployments)),
        target_revision=revision.arn,
        configuration=service.deployment_configuration,
        threshold=_threshold(service),
        created_at=now,
        started_at=now,
        updated_at=now,
    )
    primary = _deployment(
        service, definition, deployment_id=rollout.deployment_id, revision=revision, rollout=rollout, now=now
    )
    stopped = [
        closed(one, "STOPPED", SUPERSEDED, now=now)
        for key in service.service_deployments
        if (one := find(ServiceDeployment, key)) is not None and one.status in OPEN
    ]
    kept = service.service_deployments[: KEPT - 1]
    return Begun(
        service=replace(service, deployments=_demoted(primary, service), service_deployments=(rollout.arn, *kept)),
        put=(revision, rollout, *(one for one in stopped if one.arn in kept)),
        delete=tuple(_forgotten(service, find)),
    )


def _forgotten(service: Service, find: Lookup) -> Iterator[Record]:
    """Yield rollouts that are too old to be remembered, and revisions that nothing is left of without them."""
    rollouts = [one for key in service.service_deployments if (one := find(ServiceDeployment, key)) is not None]
    used = {one.revision_arn for one in service.deployments} | {service.completed_revision_arn}
    used |= {one.target_revision for one in rollouts[: KEPT - 1]}
    for one in rollouts[KEPT - 1 :]:
        yield one
        revision = find(ServiceRevision, one.target_revision)
        if revision is not None and revision.arn not in used:
            yield revision


def roll_back(
    service: Service, rollout: ServiceDeployment, *, reason: str, message: str, find: Lookup, now: datetime, ids: Ids
) -> Begun | None:
    """Return a service that rolls back to what completed last, by a deployment of its own; None where nothing has."""
    revision = find(ServiceRevision, service.completed_revision_arn)
    definition = find(TaskDefinition, revision.document["taskDefinition"]) if revision else None
    if revision is None or definition is None:
        return None
    restored = _restored(service, revision)
    rolled = replace(
        rollout,
        status="ROLLBACK_IN_PROGRESS",
        status_reason=reason,
        rollback_reason=reason,
        rollback_revision=revision.arn,
        rollback_started_at=now,
        updated_at=now,
    )
    primary = _deployment(
        restored, definition, deployment_id=f"ecs-svc/{ids.digits19()}", revision=revision, rollout=rolled, now=now
    )
    reason = f"{message}: rolling back to deploymentId {service.completed_deployment_id}."
    primary = replace(primary, rollback=True, rollout_reason=reason)
    begun = replace(
        restored,
        deployments=_demoted(primary, service),
        completed_deployment_id="",
        completed_revision_arn="",
    )
    return Begun(service=begun, put=(rolled,))


def closed(rollout: ServiceDeployment, status: str, reason: str, *, now: datetime) -> ServiceDeployment:
    """Return a rollout that has ended."""
    return replace(
        rollout,
        status=status,
        status_reason=reason,
        finished_at=now,
        stopped_at=now if status == "STOPPED" else rollout.stopped_at,
        updated_at=now,
    )


def _names(service: Service) -> tuple[Scope, tuple[str, str]]:
    return Scope.of(service.arn), (service.cluster_arn.rpartition("/")[2], service.name)


def _threshold(service: Service) -> int:
    breaker = service.deployment_configuration.get("deploymentCircuitBreaker") or {}
    return scheduling_limits.threshold(service.desired_count, breaker)


def _revision(service: Service, definition: TaskDefinition, *, now: datetime, ids: Ids) -> ServiceRevision:
    scope, names = _names(service)
    document: Json = {
        "taskDefinition": definition.arn,
        "launchType": service.launch_type or None,
        "capacityProviderStrategy": list(service.capacity_provider_strategy) or None,
        "platformVersion": platform_version(service.launch_type, service.platform_version) or None,
        "platformFamily": platform_family(service.launch_type, definition) or None,
        "loadBalancers": list(service.load_balancers),
        "serviceRegistries": list(service.service_registries),
        "networkConfiguration": service.network,
        "containerImages": [{"containerName": one["name"], "image": one["image"]} for one in definition.containers],
        "guardDutyEnabled": False,
        **{name: service.further[name] for name in FURTHER if name in service.further},
    }
    return ServiceRevision(
        arn=arn(scope, "service-revision", *names, ids.digits19()),
        service_arn=service.arn,
        document={name: value for name, value in document.items() if value is not None},
        created_at=now,
    )


def _restored(service: Service, revision: ServiceRevision) -> Service:
    """Return a service as it was at a revision; counts, tags and percentages stay."""
    was = revision.document
    version = was.get("platformVersion", "")
    is_same = version == platform_version(service.launch_type, service.platform_version)
    further = {name: value for name, value in service.further.items() if name not in FURTHER}
    return replace(
        service,
        definition_arn=was["taskDefinition"],
        launch_type=was.get("launchType") or "",
        capacity_provider_strategy=tuple(was.get("capacityProviderStrategy") or ()),
        platform_version=service.platform_version if is_same else version,  # LATEST stays what the service says
        load_balancers=tuple(was.get("loadBalancers") or ()),
        service_registries=tuple(was.get("serviceRegistries") or ()),
        network=was.get("networkConfiguration"),
        further=further | {name: was[name] for name in FURTHER if name in was},
    )


def _deployment(
    service: Service,
    definition: TaskDefinition,
    *,
    deployment_id: str,
    revision: ServiceRevision,
    rollout: ServiceDeployment,
    now: datetime,
) -> Deployment:
    return Deployment(
        id=deployment_id,
        status=DeploymentStatus.PRIMARY,
        definition_arn=definition.arn,
        desired_count=service.desired_count,
        rollout_reason=f"ECS deployment {deployment_id} in progress.",
        created_at=now,
        updated_at=now,
        launch_type=service.launch_type,
        capacity_provider_strategy=service.capacity_provider_strategy,
        platform_version=platform_version(service.launch_type, service.platform_version),
        platform_family=platform_family(service.launch_type, definition),
        network=service.network,
        load_balancers=service.load_balancers,
        further={name: service.further[name] for name in FURTHER if name in service.further},
        revision_arn=revision.arn,
        service_deployment_arn=rollout.arn,
    )


def _demoted(primary: Deployment, service: Service) -> tuple[Deployment, ...]:
    return (primary, *(replace(one, status=DeploymentStatus.ACTIVE) for one in service.deployments))


def platform_version(launch_type: str, given: str) -> str:
    """Return the platform version that tasks get: none outside of Fargate, a number for LATEST."""
    if launch_type != FARGATE:
        return ""
    return FARGATE_PLATFORM if given in {"", "LATEST"} else given


def platform_family(launch_type: str, definition: TaskDefinition) -> str:
    """Return the platform family that tasks get: none outside of Fargate."""
    if launch_type != FARGATE:
        return ""
    family = str((definition.document.get("runtimePlatform") or {}).get("operatingSystemFamily", "LINUX"))
    return "Linux" if family == "LINUX" else family.title().replace("_", "")
