"""Task sets: the parts of a service whose deployments somebody else controls. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from kecs.controlplane import definitions, service_checks, service_rollouts, tagging, tokens
from kecs.controlplane.arns import arn, the_cluster, the_service
from kecs.controlplane.errors import ApiError, invalid, unsupported
from kecs.controlplane.operation import Ask, Ids, Operation, Outcome, Request
from kecs.controlplane.records import Cluster, Service, TaskDefinition, TaskSet
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.service_shape import Counts, describe_task_set
from kecs.controlplane.state import Changes, Scope, State

type Json = dict[str, Any]

MOST: Final = 5
"""Task sets of a service, as AWS's page on service quotas says."""
_WHOLE: Final = 100


def create(request: Request, state: State) -> Outcome | Ask:
    """CreateTaskSet."""
    params = request.params
    cluster, service = _the_service(request, state)
    if service.deployment_controller == "CODE_DEPLOY":
        raise invalid("Task sets of services with a CODE_DEPLOY deployment controller are made by AWS CodeDeploy.")
    token = tokens.earlier(request, state)
    if token is not None and (earlier := state.get(TaskSet, token.resources[0])) is not None:
        return Outcome(body={"taskSet": _described(state, earlier, service, tags=True)})
    questions = service_checks.target_questions(request, params.get("loadBalancers") or ())
    if questions:
        return Ask(questions)
    if len(service.task_sets) >= MOST:
        raise ApiError("LimitExceededException", f"A service can have {MOST} task sets at most.")
    made = _new(request, state, cluster, service)
    kept = replace(service, task_sets=(*service.task_sets, made.arn))
    return Outcome(
        body={"taskSet": _described(state, made, kept, tags=True)},
        changes=Changes(put=(made, kept, *tokens.kept(request, made.arn))),
        warnings=service_checks.warnings(params),
    )


def _the_service(request: Request, state: State) -> tuple[Cluster, Service]:
    """Return the service that a request means, whose deployments ECS itself does not control."""
    cluster = the_cluster(state, request.scope, request.params["cluster"])
    service = the_service(state, cluster, request.params["service"])
    if service.status is not ServiceStatus.ACTIVE:
        raise service_checks.not_active()
    if service.deployment_controller == "ECS":
        raise unsupported("Task sets are only for services with an EXTERNAL or CODE_DEPLOY deployment controller.")
    return cluster, service


def _new(request: Request, state: State, cluster: Cluster, service: Service) -> TaskSet:
    params = request.params
    definition = definitions.find(state, request.scope, params["taskDefinition"], use=definitions.Use.SERVICE)
    launch_type, strategy = service_checks.capacity(params, cluster)
    network = service_checks.network(params.get("networkConfiguration")) or service.network
    service_checks.fits(definition, launch_type, network, params.get("platformVersion") or "")
    task_set_id = f"ecs-svc/{request.ids.digits19()}"
    family = service_rollouts.platform_family(launch_type, definition)
    document: Json = {"serviceRegistries": list(params.get("serviceRegistries") or ())}
    return TaskSet(
        arn=arn(Scope.of(cluster.arn), "task-set", cluster.name, service.name, task_set_id),
        service_arn=service.arn,
        cluster_arn=cluster.arn,
        id=task_set_id,
        status="ACTIVE",
        definition_arn=definition.arn,
        external_id=params.get("externalId") or "",
        scale_percent=_scale(params.get("scale")),
        document=document | ({"platformFamily": family} if family else {}),
        load_balancers=service_checks.load_balancers(request, params.get("loadBalancers") or (), definition),
        network=network,
        launch_type=launch_type,
        capacity_provider_strategy=strategy,
        platform_version=service_rollouts.platform_version(launch_type, params.get("platformVersion") or ""),
        created_at=request.now,
        updated_at=request.now,
        stability_status_at=request.now,
        tags=tagging.from_wire(params.get("tags")),
    )


def first(service: Service, definition: TaskDefinition, *, now: datetime, ids: Ids) -> TaskSet:
    """Return the task set that a service of AWS CodeDeploy's has from its beginning: the primary one, all of it."""
    task_set_id = f"ecs-svc/{ids.digits19()}"
    cluster = service.cluster_arn.rpartition("/")[2]
    return TaskSet(
        arn=arn(Scope.of(service.arn), "task-set", cluster, service.name, task_set_id),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        id=task_set_id,
        status="PRIMARY",
        definition_arn=definition.arn,
        document={"startedBy": "CODE_DEPLOY", "serviceRegistries": list(service.service_registries)},
        load_balancers=service.load_balancers,
        network=service.network,
        launch_type=service.launch_type,
        capacity_provider_strategy=service.capacity_provider_strategy,
        platform_version=service_rollouts.platform_version(service.launch_type, service.platform_version),
        created_at=now,
        updated_at=now,
        stability_status_at=now,
    )


def _scale(given: Mapping[str, Any] | None) -> float:
    value = float((given or {}).get("value", 0.0 if given else _WHOLE))
    if not 0 <= value <= _WHOLE:
        raise invalid(f"The scale of a task set must be between 0 and {_WHOLE} percent: {value:g}.")
    return value


def _described(state: State, task_set: TaskSet, service: Service, *, tags: bool = False) -> Json:
    return describe_task_set(task_set, service, Counts.of(state.tasks_of_service(service.arn)), tags=tags)


def _found(state: State, service: Service, given: str) -> TaskSet:
    """Return a service's task set by its id, with or without `ecs-svc/`, or its ARN."""
    for key in service.task_sets:
        if key.rpartition("/")[2] == given.rpartition("/")[2] and (found := state.get(TaskSet, key)) is not None:
            return found
    raise ApiError("TaskSetNotFoundException", "The specified task set does not exist.")


def update(request: Request, state: State) -> Outcome:
    """UpdateTaskSet: its scale."""
    _, service = _the_service(request, state)
    found = _found(state, service, request.params["taskSet"])
    changed = replace(found, scale_percent=_scale(request.params["scale"]), updated_at=request.now)
    changed = replace(changed, stability_status="STABILIZING", stability_status_at=request.now)
    return Outcome(body={"taskSet": _described(state, changed, service)}, changes=Changes(put=(changed,)))


def delete(request: Request, state: State) -> Outcome:
    """DeleteTaskSet: its tasks are stopped, then it is gone."""
    _, service = _the_service(request, state)
    found = _found(state, service, request.params["taskSet"])
    if found.scale_percent and not request.params.get("force"):
        raise invalid("The task set cannot be deleted while it is scaled above 0. Scale it to 0, or use force.")
    gone = replace(found, status="DRAINING", updated_at=request.now)
    return Outcome(body={"taskSet": _described(state, gone, service)}, changes=Changes(put=(gone,)))


def describe(request: Request, state: State) -> Outcome:
    """DescribeTaskSets."""
    _, service = _the_service(request, state)
    tags = "TAGS" in (request.params.get("include") or ())
    given = request.params.get("taskSets") or [key.rpartition("/")[2] for key in service.task_sets]
    found: list[Json] = []
    failures: list[Json] = []
    for one in given:
        try:
            found.append(_described(state, _found(state, service, one), service, tags=tags))
        except ApiError:
            failures.append({"arn": one, "reason": "MISSING"})
    return Outcome(body={"taskSets": found, "failures": failures})


def make_primary(request: Request, state: State) -> Outcome:
    """UpdateServicePrimaryTaskSet: what the task set says becomes what its service says."""
    _, service = _the_service(request, state)
    found = _found(state, service, request.params["primaryTaskSet"])
    if found.status == "DRAINING":
        raise invalid("A task set that is being deleted cannot become the primary one.")
    others = [one for key in service.task_sets if (one := state.get(TaskSet, key)) is not None]
    primary = replace(found, status="PRIMARY", updated_at=request.now)
    demoted = [
        replace(one, status="ACTIVE", updated_at=request.now)
        for one in others
        if one.status == "PRIMARY" and one.arn != found.arn
    ]
    changed = replace(
        service,
        definition_arn=primary.definition_arn,
        launch_type=primary.launch_type,
        capacity_provider_strategy=primary.capacity_provider_strategy,
        platform_version=primary.platform_version,
        load_balancers=primary.load_balancers,
        service_registries=tuple(primary.document.get("serviceRegistries") or ()),
        network=primary.network,
    )
    body = {"taskSet": _described(state, primary, changed)}
    return Outcome(body=body, changes=Changes(put=(primary, *demoted, changed)))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateTaskSet": create,
    "DeleteTaskSet": delete,
    "DescribeTaskSets": describe,
    "UpdateServicePrimaryTaskSet": make_primary,
    "UpdateTaskSet": update,
}
