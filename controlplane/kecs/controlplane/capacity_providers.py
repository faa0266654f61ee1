"""Capacity providers: FARGATE and FARGATE_SPOT, which are there, and those that clients make. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane.arns import arn, the_cluster
from kecs.controlplane.errors import ApiError, invalid, refused
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.pages import page
from kecs.controlplane.records import CapacityProvider, Cluster
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.state import Scope, State
from kecs.controlplane.tagging import from_wire, to_wire

FARGATE: Final = ("FARGATE", "FARGATE_SPOT")
_NAME: Final = re.compile(r"(?!(?i:aws|ecs|fargate))[a-zA-Z0-9_-]{1,255}")
_STRATEGY_MOST: Final = 20
_SCALING: Final = {
    "targetCapacity": 100,
    "minimumScalingStepSize": 1,
    "maximumScalingStepSize": 10_000,
    "instanceWarmupPeriod": 300,
}
_NOT_FOUND: Final = "The specified capacity provider was not found. Specify a valid name or ARN and try again."

_MIXED: Final = (
    "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate "
    "providers. Specify one or the other and try again."
)
_TOO_MANY: Final = f"A capacity provider strategy may contain a maximum of {_STRATEGY_MOST} capacity providers."
_TWICE: Final = "A capacity provider may be in a capacity provider strategy only once."
_BASES: Final = "Only one capacity provider in a capacity provider strategy can have a base defined."
_WEIGHTS: Final = "At least one capacity provider in a capacity provider strategy must have a weight greater than 0."
_NOT_ASSOCIATED: Final = (
    "The specified capacity provider strategy contains a capacity provider that is not associated with the cluster."
)


def capacity_provider(state: State, scope: Scope, given: str) -> CapacityProvider | None:
    """Return the capacity provider that a name or an ARN means, inactive ones too; None where there is none."""
    name = given.rpartition("/")[2]
    key = given if given.startswith("arn:") else arn(scope, "capacity-provider", name)
    if name in FARGATE and key == arn(scope, "capacity-provider", name):
        return CapacityProvider(arn=key, name=name, kind=name)
    return state.get(CapacityProvider, key)


def active_provider(state: State, scope: Scope, given: str) -> CapacityProvider:
    """Return an active capacity provider. Raise InvalidParameterException where there is none."""
    found = capacity_provider(state, scope, given)
    if found is None or found.status != "ACTIVE":
        raise invalid(_NOT_FOUND)
    return found


def strategy(state: State, cluster: Cluster, given: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return a capacity provider strategy with its defaults. Raise InvalidParameterException for one that can't be."""
    items: list[dict[str, Any]] = [
        {
            "capacityProvider": str(item["capacityProvider"]).rpartition("/")[2],
            "weight": item.get("weight") or 0,
            "base": item.get("base") or 0,
        }
        for item in given
    ]
    scope, names = Scope.of(cluster.arn), [item["capacityProvider"] for item in items]
    for name in names:
        active_provider(state, scope, name)
    check_strategy(items)
    if not set(names) <= set(cluster.capacity_providers):
        raise invalid(_NOT_ASSOCIATED)
    return tuple(items)


def check_strategy(items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse capacity providers that can't be in one strategy. Raise InvalidParameterException."""
    names = [item["capacityProvider"] for item in items]
    refusals = {
        _MIXED: len({name in FARGATE for name in names}) > 1,
        _TOO_MANY: len(items) > _STRATEGY_MOST,
        _TWICE: len(set(names)) < len(names),
        _BASES: sum(item["base"] > 0 for item in items) > 1,
        _WEIGHTS: bool(items) and not any(item["weight"] for item in items),
    }
    for message, holds in refusals.items():
        if holds:
            raise invalid(message)


def describe(found: CapacityProvider, *, tags: bool = True) -> dict[str, Any]:
    """Return a capacity provider as answers have it."""
    return {
        "capacityProviderArn": found.arn,
        "name": found.name,
        "cluster": found.cluster or None,
        "status": found.status,
        "autoScalingGroupProvider": found.auto_scaling_group,
        "managedInstancesProvider": found.managed_instances,
        "updateStatus": found.update_status or None,
        "updateStatusReason": found.update_status_reason or None,
        "tags": to_wire(found.tags) if tags else [],
        "type": found.kind,
    }


def _create(request: Request, state: State) -> Outcome:
    name = request.params["name"]
    if not _NAME.fullmatch(name):
        raise refused(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters "
            "(upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with "
            '"aws", "ecs", or "fargate". Specify a valid name and try again.'
        )
    before = capacity_provider(state, request.scope, name)
    if before is not None and before.status == "ACTIVE":
        raise refused(
            "The specified capacity provider already exists. To change the configuration of an existing capacity "
            "provider, update the capacity provider."
        )
    group, instances = (request.params.get(k) for k in ("autoScalingGroupProvider", "managedInstancesProvider"))
    if (group is None) == (instances is None):
        raise invalid("Specify either autoScalingGroupProvider or managedInstancesProvider, but not both.")
    if instances is not None and not request.params.get("cluster"):
        raise invalid("A cluster must be specified for a capacity provider with managed instances.")
    cluster = the_cluster(state, request.scope, request.params["cluster"]).name if request.params.get("cluster") else ""
    made = CapacityProvider(
        arn=arn(request.scope, "capacity-provider", name),
        name=name,
        kind="EC2_AUTOSCALING" if group is not None else "MANAGED_INSTANCES",
        update_status="CREATE_COMPLETE",
        cluster=cluster,
        auto_scaling_group=None if group is None else _group({}, group),
        managed_instances=None if instances is None else dict(instances),
        tags=from_wire(request.params.get("tags")),
    )
    return Outcome(body={"capacityProvider": describe(made)}, changes=changed(made))


def _group(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Auto Scaling group provider: what was there, what is said, and the defaults of managed scaling."""
    after: dict[str, Any] = {
        "managedTerminationProtection": "DISABLED",
        "managedDraining": "ENABLED",
        "managedScaling": {"status": "DISABLED"},
        **before,
        **given,
    }
    if (scaling := given.get("managedScaling")) is not None:
        after["managedScaling"] = {"status": "DISABLED"} | _SCALING | before.get("managedScaling", {}) | dict(scaling)
    if after["managedTerminationProtection"] == "ENABLED" and after["managedScaling"]["status"] != "ENABLED":
        raise refused(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed "
            "termination protection for a capacity provider, managed scaling must be enabled."
        )
    return after


def _update(request: Request, state: State) -> Outcome:
    before = _own(state, request.scope, request.params["name"])
    group, instances = (request.params.get(k) for k in ("autoScalingGroupProvider", "managedInstancesProvider"))
    if (group if before.auto_scaling_group is not None else instances) is None:
        raise invalid("Specify the settings of the kind that the capacity provider has.")
    after = replace(
        before,
        update_status="UPDATE_COMPLETE",
        update_status_reason="",
        auto_scaling_group=None
        if before.auto_scaling_group is None
        else _group(before.auto_scaling_group, group or {}),
        managed_instances=None if before.managed_instances is None else _merged(before.managed_instances, instances),
    )
    return Outcome(body={"capacityProvider": describe(after)}, changes=changed(after))


def _merged(before: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    given = given or {}
    template = {**before.get("instanceLaunchTemplate", {}), **given.get("instanceLaunchTemplate", {})}
    return {**before, **given, "instanceLaunchTemplate": template}


def _own(state: State, scope: Scope, given: str) -> CapacityProvider:
    found = capacity_provider(state, scope, given)
    if found is None or found.status != "ACTIVE":
        raise refused(_NOT_FOUND)
    if found.name in FARGATE:
        raise refused("The FARGATE and FARGATE_SPOT capacity providers are reserved and can't be changed or deleted.")
    return found


def _delete(request: Request, state: State) -> Outcome:
    found = _own(state, request.scope, request.params["capacityProvider"])
    holding = [
        cluster.name
        for cluster in state.clusters(request.scope)
        if cluster.status is ClusterStatus.ACTIVE and found.name in cluster.capacity_providers
    ]
    if holding:
        reason = (
            f"The capacity provider cannot be deleted because it is associated with cluster: {holding[0]}. "
            "Remove the capacity provider from the cluster and try again."
        )
        after = replace(found, update_status="DELETE_FAILED", update_status_reason=reason)
    else:
        after = replace(
            found,
            status="INACTIVE",
            update_status="DELETE_COMPLETE",
            update_status_reason="",
            deleted_at=request.now,
        )
    return Outcome(body={"capacityProvider": describe(after)}, changes=changed(after))


def _describe(request: Request, state: State) -> Outcome:
    wanted = request.params.get("capacityProviders")
    cluster = the_cluster(state, request.scope, request.params["cluster"]) if request.params.get("cluster") else None
    if wanted:
        names = list(wanted)
    elif cluster is not None:
        names = list(cluster.capacity_providers)
    else:
        names = [*FARGATE, *(p.name for p in state.capacity_providers(request.scope) if p.status == "ACTIVE")]
    looked = [(name, capacity_provider(state, request.scope, name)) for name in names]
    if cluster is not None:
        looked = [(n, p if p is not None and p.name in _of_cluster(cluster, p) else None) for n, p in looked]
    shown = page(request, [p for _, p in looked if p is not None], place=lambda p: p.name)
    return Outcome(
        body={
            "capacityProviders": [describe(p, tags="TAGS" in request.params.get("include", ())) for p in shown.items],
            "failures": [_missing(request.scope, name) for name, found in looked if found is None],
            "nextToken": shown.next_token,
        }
    )


def _of_cluster(cluster: Cluster, provider: CapacityProvider) -> tuple[str, ...]:
    return (*cluster.capacity_providers, *((provider.name,) if provider.cluster == cluster.name else ()))


def _missing(scope: Scope, given: str) -> dict[str, str]:
    whole = given if given.startswith("arn:") else arn(scope, "capacity-provider", given)
    return {"arn": whole, "reason": "MISSING"}


def in_use(state: State, cluster: Cluster, names: Iterable[str]) -> ApiError | None:
    """Return the refusal to take capacity providers from a cluster while services or tasks use them."""
    gone = set(names)
    services = (
        item["capacityProvider"]
        for service in state.services_of_cluster(cluster.arn)
        if service.status != "INACTIVE"
        for item in service.capacity_provider_strategy
    )
    if gone and (gone.intersection(services) or gone.intersection(_of_tasks(state, cluster))):
        return ApiError("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
    return None


def _of_tasks(state: State, cluster: Cluster) -> Iterable[str]:
    return (task.capacity_provider for task in state.tasks_of_cluster(cluster.arn) if task.last_status != "STOPPED")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateCapacityProvider": _create,
    "UpdateCapacityProvider": _update,
    "DeleteCapacityProvider": _delete,
    "DescribeCapacityProviders": _describe,
}
