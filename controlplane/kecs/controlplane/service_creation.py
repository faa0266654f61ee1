"""CreateService. Pure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from kecs.controlplane import definitions, service_checks, service_rollouts, tagging, task_sets, tokens
from kecs.controlplane.arns import service_arn, the_cluster
from kecs.controlplane.errors import invalid
from kecs.controlplane.operation import Ask, Outcome, Request
from kecs.controlplane.records import Cluster, Service, TaskDefinition
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.service_shape import describe
from kecs.controlplane.state import Changes, State

type Json = dict[str, Any]

_FURTHER: Final = (*service_rollouts.FURTHER, "availabilityZoneRebalancing", "monitoring")
DIFFERENT: Final = "Creation of service was not idempotent."
DRAINING: Final = "Unable to Start a service that is still Draining."


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
    """Return the service that a request asks for, and what its tasks are made from. Raise what is refused."""
    params = request.params
    service_checks.unsupported_members(params)
    name = service_checks.name(params["serviceName"])
    scheduling = params.get("schedulingStrategy") or "REPLICA"
    controller = (params.get("deploymentController") or {}).get("type") or "ECS"
    definition = _definition(request, state, controller)
    where = _where(params, cluster, scheduling, controller)
    if definition is not None:
        service_checks.fits(definition, where["launch_type"], where["network"], params.get("platformVersion") or "")
    balancers: tuple[Json, ...] = tuple(params.get("loadBalancers") or ())
    if definition is not None:
        balancers = service_checks.load_balancers(request, balancers, definition)
        service_checks.volumes(params, definition)
    service = Service(
        arn=service_arn(cluster, name),
        name=name,
        cluster_arn=cluster.arn,
        desired_count=_desired_count(params, scheduling, controller),
        definition_arn=definition.arn if definition else "",
        scheduling_strategy=scheduling,
        deployment_controller=controller,
        deployment_configuration=service_checks.configuration(
            params.get("deploymentConfiguration"), None, scheduling=scheduling, controller=controller
        ),
        load_balancers=balancers,
        service_registries=tuple(params.get("serviceRegistries") or ()),
        further=_further(params, cluster),
        role_arn=service_checks.role(params, cluster, definition),
        created_by=request.principal_arn,
        created_at=request.now,
        tags=tagging.from_wire(params.get("tags")),
        created_from_sha256=_digest(request),
        **where,
        **_switches(params, balancers),
    )
    return service, definition


def _where(params: Mapping[str, Any], cluster: Cluster, scheduling: str, controller: str) -> dict[str, Any]:
    """Return where a service's tasks are to run, as fields of it."""
    launch_type, strategy = service_checks.capacity(params, cluster)
    constraints = tuple(params.get("placementConstraints") or ())
    strategies = tuple(params.get("placementStrategy") or ())
    if scheduling == "DAEMON" and (launch_type == "FARGATE" or controller != "ECS"):
        raise invalid(
            "The daemon scheduling strategy is not supported for the Fargate launch type, "
            "nor for the CODE_DEPLOY and EXTERNAL deployment controllers."
        )
    service_checks.placement(constraints, strategies, launch_type, scheduling)
    return {
        "launch_type": launch_type,
        "capacity_provider_strategy": strategy,
        "platform_version": (params.get("platformVersion") or "LATEST") if launch_type == "FARGATE" else "",
        "network": service_checks.network(params.get("networkConfiguration")),
        "placement_constraints": constraints,
        "placement_strategy": strategies,
    }


def _desired_count(params: Mapping[str, Any], scheduling: str, controller: str) -> int:
    given = service_checks.desired_count(params, scheduling)
    if given is None and scheduling == "REPLICA" and controller != "EXTERNAL":
        raise invalid("desiredCount must be specified for services that use the REPLICA scheduling strategy.")
    return given or 0


def _switches(params: Mapping[str, Any], balancers: tuple[Json, ...]) -> dict[str, Any]:
    grace = service_checks.grace_period(params)
    return {
        "health_check_grace_period_s": 0 if grace is None and balancers else grace,
        "enable_ecs_managed_tags": params.get("enableECSManagedTags") or False,
        "propagate_tags": params.get("propagateTags") or "NONE",
        "enable_execute_command": params.get("enableExecuteCommand") or False,
    }


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
