"""Clusters. Pure. Counts and statistics are counted from what is there, never kept."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane.account_settings import effective
from kecs.controlplane.arns import DEFAULT_CLUSTER, arn, cluster_arn, the_cluster
from kecs.controlplane.capacity_providers import active_provider, in_use, strategy
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.pages import page
from kecs.controlplane.records import Attribute, Cluster, ContainerInstance, Record, Service, Task
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, Scope, State
from kecs.controlplane.tagging import from_wire, to_wire

_NAME: Final = re.compile(r"[a-zA-Z0-9\-_]{1,255}")
_MOST: Final = 100
"""Clusters that can be described at once."""
_PROVIDERS_MOST: Final = 20
_INSIGHTS: Final = ("enabled", "disabled", "enhanced")
_NOT_YET: Final = (TaskStatus.PROVISIONING, TaskStatus.PENDING, TaskStatus.ACTIVATING)
"""Last statuses that count as pending."""
_LAUNCH_TYPES: Final = {"EC2": ("EC2", ""), "Fargate": ("FARGATE",), "External": ("EXTERNAL",)}
"""As statistics name them, and as records do; where nothing was said it is EC2."""
EVERYTHING: Final = frozenset({"ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "TAGS"})
"""What the answer to a change includes."""


def describe(state: State, cluster: Cluster, *, include: Iterable[str] = EVERYTHING) -> dict[str, Any]:
    """Return a cluster as answers have it."""
    include = frozenset(include)
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": len(_registered(state, cluster)),
        "runningTasksCount": state.count_tasks(cluster.arn, TaskStatus.RUNNING),
        "pendingTasksCount": sum(state.count_tasks(cluster.arn, status) for status in _NOT_YET),
        "activeServicesCount": state.tally(Service, "status", (cluster.arn, ServiceStatus.ACTIVE)),
        "statistics": _statistics(state, cluster) if "STATISTICS" in include else [],
        "tags": to_wire(cluster.tags) if "TAGS" in include else [],
        "settings": _pairs(cluster.settings) if "SETTINGS" in include else [],
        "configuration": cluster.configuration if "CONFIGURATIONS" in include else None,
        "capacityProviders": list(cluster.capacity_providers),
        "defaultCapacityProviderStrategy": list(cluster.default_strategy),
        "attachments": [] if "ATTACHMENTS" in include else None,
        "serviceConnectDefaults": cluster.service_connect_defaults,
    }


def _pairs(settings: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in settings.items()]


def _registered(state: State, cluster: Cluster) -> list[ContainerInstance]:
    return [found for found in state.instances_of_cluster(cluster.arn) if found.status != "INACTIVE"]


def _statistics(state: State, cluster: Cluster) -> list[dict[str, str]]:
    groups: tuple[tuple[type[Record], str, Mapping[str, tuple[str, ...]]], ...] = (
        (Task, "TasksCount", {"running": (TaskStatus.RUNNING,), "pending": _NOT_YET}),
        (Service, "ServiceCount", {"active": (ServiceStatus.ACTIVE,), "draining": (ServiceStatus.DRAINING,)}),
    )
    return [
        {
            "name": f"{word}{launch}{noun}",
            "value": str(
                sum(
                    state.tally(kind, "launch", (cluster.arn, status, of))
                    for status in statuses
                    for of in _LAUNCH_TYPES[launch]
                )
            ),
        }
        for kind, noun, words in groups
        for word, statuses in words.items()
        for launch in _LAUNCH_TYPES
    ]


def _create(request: Request, state: State) -> Outcome:
    params = request.params
    name = params.get("clusterName") or DEFAULT_CLUSTER
    if not _NAME.fullmatch(name):
        raise invalid(f"Cluster must match ^[a-zA-Z0-9\\-_]{{1,255}}$, but was {name}")
    before = state.get(Cluster, arn(request.scope, "cluster", name))
    insights = effective(state, request.scope, request.principal_arn, "containerInsights")
    empty = Cluster(
        arn=arn(request.scope, "cluster", name),
        name=name,
        created_at=request.now,
        settings={"containerInsights": insights},
        tags=from_wire(params.get("tags")),
    )
    made = _with_providers(
        state,
        _with_settings(empty, params),
        params.get("capacityProviders") or (),
        params.get("defaultCapacityProviderStrategy") or (),
    )
    if before is None or before.status is not ClusterStatus.ACTIVE:
        return Outcome(body={"cluster": describe(state, made)}, changes=changed(made))
    if any(getattr(before, ours) != getattr(made, ours) for theirs, ours in _COMPARED.items() if params.get(theirs)):
        raise invalid(
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
        )
    return Outcome(body={"cluster": describe(state, before)})


_COMPARED: Final = {
    "settings": "settings",
    "configuration": "configuration",
    "capacityProviders": "capacity_providers",
    "defaultCapacityProviderStrategy": "default_strategy",
    "serviceConnectDefaults": "service_connect_defaults",
}
"""Parameters that have to be the same when a cluster is created that is there, and the fields that hold them."""


def _with_settings(cluster: Cluster, params: Mapping[str, Any]) -> Cluster:
    settings = dict(cluster.settings)
    for setting in params.get("settings") or ():
        name, value = setting.get("name"), setting.get("value")
        if name != "containerInsights":
            raise invalid(f"Invalid cluster setting name: {name}. The valid name is containerInsights.")
        if value not in _INSIGHTS:
            raise invalid(f"Invalid value for containerInsights: {value}. Valid values are {', '.join(_INSIGHTS)}.")
        settings[name] = value
    configuration, connect = params.get("configuration"), params.get("serviceConnectDefaults")
    if connect is not None:
        connect = {"namespace": connect["namespace"]} if connect.get("namespace") else None
    return replace(
        cluster,
        settings=settings,
        configuration=cluster.configuration if configuration is None else _configuration(configuration),
        service_connect_defaults=connect if "serviceConnectDefaults" in params else cluster.service_connect_defaults,
    )


def _configuration(given: Mapping[str, Any]) -> dict[str, Any]:
    execute = given.get("executeCommandConfiguration") or {}
    logging, where = execute.get("logging"), execute.get("logConfiguration")
    if logging == "OVERRIDE" and not where:
        raise invalid("logConfiguration must be specified when logging is OVERRIDE.")
    if where and logging != "OVERRIDE":
        raise invalid("logConfiguration can be specified only when logging is OVERRIDE.")
    return dict(given)


def _with_providers(
    state: State, cluster: Cluster, names: Iterable[str], given: Iterable[Mapping[str, Any]]
) -> Cluster:
    scope = Scope.of(cluster.arn)
    providers = tuple(dict.fromkeys(active_provider(state, scope, name).name for name in names))
    if len(providers) > _PROVIDERS_MOST:
        raise invalid("The maximum number of capacity providers per cluster has been exceeded.")
    after = replace(cluster, capacity_providers=providers)
    return replace(after, default_strategy=strategy(state, after, given))


def _describe(request: Request, state: State) -> Outcome:
    wanted = request.params.get("clusters") or [DEFAULT_CLUSTER]
    if len(wanted) > _MOST:
        raise invalid(f"Clusters cannot have more than {_MOST} items.")
    if not all(wanted):
        raise invalid("Clusters can not be blank.")
    include = request.params.get("include") or ()
    arns = list(dict.fromkeys(cluster_arn(request.scope, name) for name in wanted))
    looked = [(key, state.get(Cluster, key)) for key in arns]
    mine = [
        (key, found if found is not None and Scope.of(found.arn) == request.scope else None) for key, found in looked
    ]
    return Outcome(
        body={
            "clusters": [describe(state, found, include=include) for _, found in mine if found is not None],
            "failures": [{"arn": key, "reason": "MISSING"} for key, found in mine if found is None],
        }
    )


def _list(request: Request, state: State) -> Outcome:
    active = (found for found in state.clusters(request.scope) if found.status is ClusterStatus.ACTIVE)
    shown = page(request, active, place=lambda found: state.position(Cluster, found.arn))
    return Outcome(body={"clusterArns": [found.arn for found in shown.items], "nextToken": shown.next_token})


def _update(request: Request, state: State) -> Outcome:
    after = _with_settings(the_cluster(state, request.scope, request.params["cluster"]), request.params)
    return Outcome(body={"cluster": describe(state, after)}, changes=changed(after))


def _put_providers(request: Request, state: State) -> Outcome:
    params = request.params
    before = the_cluster(state, request.scope, params["cluster"])
    after = _with_providers(state, before, params["capacityProviders"], params["defaultCapacityProviderStrategy"])
    if refusal := in_use(state, before, set(before.capacity_providers) - set(after.capacity_providers)):
        raise refusal
    return Outcome(body={"cluster": describe(state, after)}, changes=changed(after))


def _delete(request: Request, state: State) -> Outcome:
    found = state.get(Cluster, cluster_arn(request.scope, request.params["cluster"]))
    if found is not None and found.status is ClusterStatus.INACTIVE and Scope.of(found.arn) == request.scope:
        return Outcome(body={"cluster": describe(state, found)})
    before = the_cluster(state, request.scope, request.params["cluster"])
    for code, what, holds in _holders(state, before):
        if holds:
            raise ApiError(code, f"The Cluster cannot be deleted while {what}.")
    after = replace(before, status=ClusterStatus.INACTIVE, deleted_at=request.now)
    gone: tuple[Record, ...] = (
        *(instance for instance in state.instances_of_cluster(before.arn) if instance.node),
        *state.find(Attribute, "cluster", before.arn),
    )
    body = describe(state, after) | {"registeredContainerInstancesCount": 0}
    return Outcome(body={"cluster": body}, changes=Changes(put=(after,), delete=gone))


def _holders(state: State, cluster: Cluster) -> Iterable[tuple[str, str, bool]]:
    """Return what keeps a cluster from being deleted: exception, what is so, and whether it is so.

    Instances that are a runtime's nodes keep nothing: no client has registered them, so none could deregister them.
    """
    services = len(state.services_of_cluster(cluster.arn)) - state.tally(
        Service, "status", (cluster.arn, ServiceStatus.INACTIVE)
    )
    tasks = state.tally(Task, "cluster", cluster.arn) - state.count_tasks(cluster.arn, TaskStatus.STOPPED)
    instances = any(not instance.node for instance in _registered(state, cluster))
    providers = any(
        provider.status == "ACTIVE" and provider.cluster == cluster.name
        for provider in state.capacity_providers(Scope.of(cluster.arn))
    )
    return (
        ("ClusterContainsServicesException", "Services are active", services > 0),
        ("ClusterContainsTasksException", "Tasks are active", tasks > 0),
        (
            "ClusterContainsContainerInstancesException",
            "Container Instances are active or draining",
            instances,
        ),
        ("ClusterContainsCapacityProviderException", "Capacity Providers are active", providers),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateCluster": _create,
    "DescribeClusters": _describe,
    "ListClusters": _list,
    "UpdateCluster": _update,
    "UpdateClusterSettings": _update,
    "PutClusterCapacityProviders": _put_providers,
    "DeleteCluster": _delete,
}
