"""Services: how they are made, deleted, described and listed. Pure. What they then do is `scheduling`'s."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from kecs.controlplane import definitions, service_checks, service_rollouts, service_updates, tagging, task_sets, tokens
from kecs.controlplane.arns import service_arn, the_cluster, the_service
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Ask, Operation, Outcome, Request
from kecs.controlplane.pages import page
from kecs.controlplane.records import Cluster, Service, ServiceDeployment, TaskDefinition
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.service_shape import describe
from kecs.controlplane.state import Changes, Scope, State

type Json = dict[str, Any]

DESCRIBED_AT_ONCE: Final = 10
MISSING: Final = "MISSING"
_FURTHER: Final = (*service_rollouts.FURTHER, "availabilityZoneRebalancing", "monitoring")
DIFFERENT: Final = "Creation of service was not idempotent."
DRAINING: Final = "Unable to Start a service that is still Draining."
SCALED: Final = "The service cannot be stopped while it is scaled above 0."
DEPLOYED: Final = "The service cannot be stopped while deployments are active."


def create(request: Request, state: State) -> Outcome | Ask:
    """CreateService."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    earlier = _earlier(request, state, cluster)
    if earlier is not None:
        return Outcome(body={"service": describe(state, earlier, tags=True)})
    questions = service_checks.target_questions(request, params.get("loadBalancers") or ())
    if questions:
        return Ask(questions)
    service, definition = _new(request, state, cluster)
    put: list[Any] = []
    delete: tuple[Any, ...] = ()
    if definition is not None and service.deployment_controller == "ECS":
        begun = service_rollouts.begin(service, definition, find=state.get, now=request.now, ids=request.ids)
        service, put, delete = begun.service, [*begun.put], begun.delete
    elif definition is not None:
        first = task_sets.first(service, definition, now=request.now, ids=request.ids)
        service, put = replace(service, task_sets=(first.arn,)), [first]
    changes = Changes(put=(service, *put, *tokens.kept(request, service.arn)), delete=delete)
    return Outcome(
        body={"service": describe(State(put), service, tags=True)},
        changes=changes,
        warnings=service_checks.warnings(params),
    )


def _earlier(request: Request, state: State, cluster: Cluster) -> Service | None:
    """Return what the same request has made before. Raise where the name is taken by another."""
    token = tokens.earlier(request, state, message=DIFFERENT)
    found = state.get(Service, service_arn(cluster, request.params["serviceName"]))
    if found is None or found.status is ServiceStatus.INACTIVE:
        return None
    if found.status is ServiceStatus.DRAINING:
        raise invalid(DRAINING)
    if token is None and found.created_from_sha256 != _digest(request):
        raise invalid(DIFFERENT)
    return found


def _digest(request: Request) -> str:
    said = {name: value for name, value in request.params.items() if name not in {"clientToken", "cluster"}}
    return sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _new(request: Request, state: State, cluster: Cluster) -> tuple[Service, TaskDefinition | None]:
    params = request.params
    service_checks.unsupported_members(params)
    name = service_checks.name(params["serviceName"])
    scheduling = params.get("schedulingStrategy") or "REPLICA"
    controller = (params.get("deploymentController") or {}).get("type") or "ECS"
    definition = _definition(request, state, controller)
    launch_type, strategy = service_checks.capacity(params, cluster)
    network = service_checks.network(params.get("networkConfiguration"))
    constraints = tuple(params.get("placementConstraints") or ())
    strategies = tuple(params.get("placementStrategy") or ())
    if scheduling == "DAEMON" and (launch_type == "FARGATE" or controller != "ECS"):
        raise invalid(
            "The daemon scheduling strategy is not supported for the Fargate launch type, "
            "nor for the CODE_DEPLOY and EXTERNAL deployment controllers."
        )
    service_checks.placement(constraints, strategies, launch_type, scheduling)
    balancers: tuple[Json, ...] = tuple(params.get("loadBalancers") or ())
    if definition is not None:
        service_checks.fits(definition, launch_type, network, params.get("platformVersion") or "")
        balancers = service_checks.load_balancers(request, balancers, definition)
    desired = service_checks.desired_count(params, scheduling)
    if desired is None and scheduling == "REPLICA" and controller != "EXTERNAL":
        raise invalid("desiredCount must be specified for services that use the REPLICA scheduling strategy.")
    grace = params.get("healthCheckGracePeriodSeconds")
    scope = Scope.of(cluster.arn)
    is_fargate = launch_type == "FARGATE"
    service = Service(
        arn=service_arn(cluster, name),
        name=name,
        cluster_arn=cluster.arn,
        desired_count=desired or 0,
        definition_arn=definition.arn if definition else "",
        scheduling_strategy=scheduling,
        deployment_controller=controller,
        deployment_configuration=service_checks.configuration(
            params.get("deploymentConfiguration"), None, scheduling=scheduling, controller=controller
        ),
        launch_type=launch_type,
        capacity_provider_strategy=strategy,
        platform_version=(params.get("platformVersion") or "LATEST") if is_fargate else "",
        load_balancers=balancers,
        service_registries=tuple(params.get("serviceRegistries") or ()),
        network=network,
        placement_constraints=constraints,
        placement_strategy=strategies,
        health_check_grace_period_s=0 if grace is None and balancers else grace,
        enable_ecs_managed_tags=params.get("enableECSManagedTags") or False,
        propagate_tags=params.get("propagateTags") or "NONE",
        enable_execute_command=params.get("enableExecuteCommand") or False,
        further=_further(params, cluster),
        role_arn=service_checks.role(
            params,
            account=scope.account,
            partition=scope.partition,
            is_awsvpc=definition is not None and definition.network_mode == "awsvpc",
        ),
        created_by=request.principal_arn,
        created_at=request.now,
        tags=tagging.from_wire(params.get("tags")),
        created_from_sha256=_digest(request),
    )
    return service, definition


def _further(params: Mapping[str, Any], cluster: Cluster) -> Json:
    found: Json = {name: params[name] for name in _FURTHER if params.get(name) is not None}
    connect = found.get("serviceConnectConfiguration")
    default = (cluster.service_connect_defaults or {}).get("namespace")
    if connect and connect.get("enabled") and not connect.get("namespace") and default:
        found["serviceConnectConfiguration"] = {**connect, "namespace": default}
    found.setdefault("availabilityZoneRebalancing", "DISABLED")
    return found


def _definition(request: Request, state: State, controller: str) -> TaskDefinition | None:
    given = request.params.get("taskDefinition")
    if controller == "EXTERNAL":
        if given:
            raise invalid("A task definition is given to task sets where the deployment controller is EXTERNAL.")
        return None
    if not given:
        raise invalid("TaskDefinition can not be blank.")
    return definitions.find(state, request.scope, given, use=definitions.Use.SERVICE)


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
    found = page(
        request,
        (
            one.arn
            for one in state.services_of_cluster(cluster.arn)
            if one.status is ServiceStatus.ACTIVE
            and params.get("schedulingStrategy") in {None, one.scheduling_strategy}
            and params.get("launchType") in {None, "" if one.capacity_provider_strategy else one.launch_type}
        ),
        place=lambda arn: arn,
    )
    return Outcome(body={"serviceArns": found.items, "nextToken": found.next_token})


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
    "CreateService": create,
    "DeleteService": delete,
    "DescribeServices": describe_services,
    "ListServices": list_services,
    "ListServicesByNamespace": list_by_namespace,
    "UpdateService": service_updates.update,
}
