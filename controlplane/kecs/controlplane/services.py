"""Services: how they are deleted, described and listed. Pure. What they do is `scheduling`'s."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane import service_creation, service_rollouts, service_updates
from kecs.controlplane.arns import service_arn, the_cluster, the_service
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.pages import ordered, page
from kecs.controlplane.records import Service, ServiceDeployment
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.service_shape import describe
from kecs.controlplane.state import Changes, Scope, State

type Json = dict[str, Any]

DESCRIBED_AT_ONCE: Final = 10
MISSING: Final = "MISSING"
SCALED: Final = "The service cannot be stopped while it is scaled above 0."
DEPLOYED: Final = "The service cannot be stopped while deployments are active."


def delete(request: Request, state: State) -> Outcome:
    """DeleteService. Its tasks are stopped by the scheduler, which then makes it INACTIVE."""
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    service = the_service(state, cluster, request.params["service"])
    if service.status is ServiceStatus.INACTIVE:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    if service.status is ServiceStatus.DRAINING:
        return Outcome(body={"service": describe(state, service)})
    if not request.params.get("force"):
        if service.scheduling_strategy == "REPLICA" and service.desired_count:
            raise invalid(SCALED)
        if service.task_sets:
            raise invalid(DEPLOYED)
    primary, *others = service.deployments or (None,)
    emptied = (replace(primary, desired_count=0, updated_at=request.now), *others) if primary else ()
    gone = replace(service, status=ServiceStatus.DRAINING, desired_count=0, deployments=emptied)
    stopped = [
        service_rollouts.closed(one, "STOPPED", "The service was deleted.", now=request.now)
        for key in service.service_deployments
        if (one := state.get(ServiceDeployment, key)) is not None and one.status in service_rollouts.OPEN
    ]
    return Outcome(body={"service": describe(state, gone)}, changes=Changes(put=(gone, *stopped)))


def describe_services(request: Request, state: State) -> Outcome:
    """DescribeServices: also of those that are inactive."""
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    given = request.params["services"]
    if not given:
        raise invalid("Services cannot be empty.")
    if len(given) > DESCRIBED_AT_ONCE:
        raise invalid(f"Services cannot have more than {DESCRIBED_AT_ONCE} items.")
    tags = "TAGS" in (request.params.get("include") or ())
    found: dict[str, Json] = {}
    failures: list[Json] = []
    for one in given:
        key = one if one.startswith("arn:") and one.count("/") > 1 else service_arn(cluster, one)
        service = state.get(Service, key)
        if service is None or service.cluster_arn != cluster.arn:
            failures.append({"arn": key, "reason": MISSING})
        else:
            found[key] = describe(state, service, tags=tags)
    return Outcome(body={"services": list(found.values()), "failures": failures})


def list_services(request: Request, state: State) -> Outcome:
    """ListServices: those that are active."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    if params.get("resourceManagementType") == "ECS":
        return Outcome(body={"serviceArns": []})
    active = (cluster.arn, ServiceStatus.ACTIVE)
    found = ordered(
        request,
        lambda after: (
            one
            for one in state.following(Service, "status", active, after)
            if params.get("schedulingStrategy") in {None, one.scheduling_strategy}
            and params.get("launchType") in {None, "" if one.capacity_provider_strategy else one.launch_type}
        ),
        place=lambda one: state.position(Service, one.arn),
    )
    return Outcome(body={"serviceArns": [one.arn for one in found.items], "nextToken": found.next_token})


def list_by_namespace(request: Request, state: State) -> Outcome:
    """ListServicesByNamespace: of all clusters of the region, by Service Connect's namespace, its name or ARN."""
    wanted = request.params["namespace"]
    found = page(
        request,
        (
            one.arn
            for one in state.every(Service)
            if one.status is ServiceStatus.ACTIVE
            and Scope.of(one.arn) == request.scope
            and _namespace(one) in {wanted, wanted.rpartition("/")[2]}
        ),
        place=lambda arn: arn,
    )
    return Outcome(body={"serviceArns": found.items, "nextToken": found.next_token})


def _namespace(service: Service) -> str:
    connect = service.further.get("serviceConnectConfiguration") or {}
    return str(connect.get("namespace") or "").rpartition("/")[2] if connect.get("enabled") else ""


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateService": service_creation.create,
    "DeleteService": delete,
    "DescribeServices": describe_services,
    "ListServices": list_services,
    "ListServicesByNamespace": list_by_namespace,
    "UpdateService": service_updates.update,
}
