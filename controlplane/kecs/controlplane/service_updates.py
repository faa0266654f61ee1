"""UpdateService: what it changes, and whether that makes a new deployment. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane import definitions, service_checks, service_rollouts
from kecs.controlplane.arns import the_cluster, the_service
from kecs.controlplane.errors import invalid
from kecs.controlplane.operation import Ask, Outcome, Request
from kecs.controlplane.records import Cluster, Service, TaskDefinition
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.service_shape import describe
from kecs.controlplane.state import Changes, State

type Json = dict[str, Any]

DEPLOYED: Final = (
    "definition_arn",
    "launch_type",
    "capacity_provider_strategy",
    "platform_version",
    "network",
    "load_balancers",
    "service_registries",
)
"""Fields of a service that make a new deployment when they change; of `further`, `service_rollouts.FURTHER` do, too.
What the API reference of UpdateService says of each member."""
_CONTROLLED: Final[Mapping[str, str]] = {
    "taskDefinition": "Unable to update task definition",
    "networkConfiguration": "Unable to update network parameters",
    "platformVersion": "Unable to update platform version",
    "loadBalancers": "Unable to update load balancers",
    "serviceRegistries": "Unable to update service registries",
    "capacityProviderStrategy": "Unable to update capacity provider strategy",
    "forceNewDeployment": "Cannot force a new deployment",
}
"""Members that somebody else's deployment controller is asked for, and how it is said."""
_WHERE: Final = {
    "CODE_DEPLOY": "Use AWS CodeDeploy to trigger a new deployment.",
    "EXTERNAL": "Create a new task set instead.",
}
_FURTHER: Final = (*service_rollouts.FURTHER, "availabilityZoneRebalancing", "monitoring")


def update(request: Request, state: State) -> Outcome | Ask:
    """UpdateService."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    service = the_service(state, cluster, params["service"])
    if service.status is not ServiceStatus.ACTIVE:
        raise service_checks.not_active()
    _check_controller(params, service)
    questions = service_checks.target_questions(request, params.get("loadBalancers") or ())
    if questions:
        return Ask(questions)
    changed, definition = _changed(request, state, cluster, service)
    forced = params.get("forceNewDeployment") or False
    if service.deployment_controller == "ECS" and definition is not None and (forced or _differs(service, changed)):
        begun = service_rollouts.begin(changed, definition, find=state.get, now=request.now, ids=request.ids)
        changes = Changes(put=(begun.service, *begun.put), delete=begun.delete)
        changed = begun.service
    else:
        changed = _rescaled(changed, request)
        changes = Changes(put=(changed,)) if changed != service else Changes()
    return Outcome(
        body={"service": describe(state, changed)}, changes=changes, warnings=service_checks.warnings(params)
    )


def _differs(before: Service, after: Service) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in DEPLOYED) or any(
        before.further.get(name) != after.further.get(name) for name in service_rollouts.FURTHER
    )


def _rescaled(service: Service, request: Request) -> Service:
    """Return a service whose primary deployment wants as many tasks as it does."""
    if not service.deployments or service.deployments[0].desired_count == service.desired_count:
        return service
    primary, *others = service.deployments
    primary = replace(primary, desired_count=service.desired_count, updated_at=request.now)
    return replace(service, deployments=(primary, *others))


def _check_controller(params: Mapping[str, Any], service: Service) -> None:
    service_checks.unsupported_members(params)
    wanted = (params.get("deploymentController") or {}).get("type")
    if wanted not in {None, service.deployment_controller}:
        raise invalid(
            f"The deployment controller of a service cannot be changed here from {service.deployment_controller} "
            f"to {wanted}."
        )
    if service.deployment_controller == "ECS":
        return
    for member, message in _CONTROLLED.items():
        if params.get(member):
            controller = service.deployment_controller
            raise invalid(f"{message} on services with a {controller} deployment controller. {_WHERE[controller]}")


def _changed(
    request: Request, state: State, cluster: Cluster, service: Service
) -> tuple[Service, TaskDefinition | None]:
    """Return a service with what a request says, and the definition that its tasks are made from."""
    params = request.params
    definition = _definition(request, state, service)
    desired = service_checks.desired_count(params, service.scheduling_strategy)
    launch_type, strategy = _capacity(params, cluster, service)
    is_fargate = launch_type == "FARGATE"
    network = (
        service_checks.network(params["networkConfiguration"])
        if params.get("networkConfiguration")
        else service.network
    )
    if definition is not None and service.deployment_controller == "ECS":
        service_checks.fits(definition, launch_type, network, params.get("platformVersion") or "")
        service_checks.volumes(params, definition)
    constraints = _said(params, "placementConstraints", service.placement_constraints)
    strategies = _said(params, "placementStrategy", service.placement_strategy)
    service_checks.placement(constraints, strategies, launch_type, service.scheduling_strategy)
    changed = replace(
        service,
        definition_arn=definition.arn if definition else service.definition_arn,
        desired_count=service.desired_count if desired is None else desired,
        launch_type=launch_type,
        capacity_provider_strategy=strategy,
        platform_version=(params.get("platformVersion") or service.platform_version or "LATEST") if is_fargate else "",
        network=network,
        load_balancers=_balancers(request, service, definition),
        service_registries=_said(params, "serviceRegistries", service.service_registries),
        placement_constraints=constraints,
        placement_strategy=strategies,
        deployment_configuration=service_checks.configuration(
            params.get("deploymentConfiguration"),
            service.deployment_configuration,
            scheduling=service.scheduling_strategy,
            controller=service.deployment_controller,
        ),
    )
    return _with_switches(changed, params), definition


def _definition(request: Request, state: State, service: Service) -> TaskDefinition | None:
    given = request.params.get("taskDefinition")
    if given:
        return definitions.find(state, request.scope, given, use=definitions.Use.SERVICE)
    return state.get(TaskDefinition, service.definition_arn) if service.definition_arn else None


def _capacity(params: Mapping[str, Any], cluster: Cluster, service: Service) -> tuple[str, tuple[Json, ...]]:
    """Return launch type and strategy: an empty strategy brings the launch type back."""
    given = params.get("capacityProviderStrategy")
    if given is None:
        return service.launch_type, service.capacity_provider_strategy
    if not given:
        return service.launch_type, ()
    return service_checks.capacity({"capacityProviderStrategy": given}, cluster)


def _balancers(request: Request, service: Service, definition: TaskDefinition | None) -> tuple[Json, ...]:
    given = request.params.get("loadBalancers")
    if given is None or definition is None:
        return service.load_balancers
    return service_checks.load_balancers(request, given, definition)


def _said(params: Mapping[str, Any], name: str, before: tuple[Json, ...]) -> tuple[Json, ...]:
    return before if params.get(name) is None else tuple(params[name])


def _with_switches(service: Service, params: Mapping[str, Any]) -> Service:
    """Take over what takes effect for tasks that are started from now on."""
    fields = {
        "healthCheckGracePeriodSeconds": "health_check_grace_period_s",
        "enableExecuteCommand": "enable_execute_command",
        "enableECSManagedTags": "enable_ecs_managed_tags",
        "propagateTags": "propagate_tags",
    }
    service_checks.grace_period(params)
    changes: dict[str, Any] = {
        field: params[member] for member, field in fields.items() if params.get(member) is not None
    }
    further = service.further | {name: params[name] for name in _FURTHER if params.get(name) is not None}
    return replace(service, further=further, **changes)
