"""Service deployments and service revisions: listed, described, stopped by a rollback. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane import events, service_rollouts
from kecs.controlplane.arns import service_arn, the_cluster
from kecs.controlplane.errors import ApiError, invalid, unsupported
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.pages import page
from kecs.controlplane.records import Service, ServiceDeployment, ServiceRevision
from kecs.controlplane.records.services import Deployment, Rollout, ServiceStatus
from kecs.controlplane.service_shape import Counts
from kecs.controlplane.state import Changes, State

type Json = dict[str, Any]

MISSING: Final = "MISSING"
AT_ONCE: Final = 20
STOPPED: Final = "Service deployment rolled back because of StopServiceDeployment."


def list_deployments(request: Request, state: State) -> Outcome:
    """ListServiceDeployments, newest first."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    service = state.get(Service, service_arn(cluster, params["service"]))
    if service is None:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    wanted = set(params.get("status") or ())
    times = params.get("createdAt") or {}
    found = page(
        request,
        (
            one
            for key in service.service_deployments
            if (one := state.get(ServiceDeployment, key)) is not None
            and (not wanted or one.status in wanted)
            and ("before" not in times or one.created_at < times["before"])
            and ("after" not in times or one.created_at > times["after"])
        ),
        place=lambda one: (round(one.created_at.timestamp() * 1_000_000), one.arn),
        descending=True,
    )
    return Outcome(body={"serviceDeployments": [_brief(one) for one in found.items], "nextToken": found.next_token})


def _brief(one: ServiceDeployment) -> Json:
    return {
        "serviceDeploymentArn": one.arn,
        "serviceArn": one.service_arn,
        "clusterArn": one.cluster_arn,
        "startedAt": one.started_at,
        "createdAt": one.created_at,
        "finishedAt": one.finished_at,
        "targetServiceRevisionArn": one.target_revision,
        "status": one.status,
        "statusReason": one.status_reason or None,
    }


def describe_deployments(request: Request, state: State) -> Outcome:
    """DescribeServiceDeployments."""
    found, failures = _looked_up(request, state, "serviceDeploymentArns", ServiceDeployment)
    return Outcome(body={"serviceDeployments": [_describe(state, one) for one in found], "failures": failures})


def _looked_up[R: ServiceDeployment | ServiceRevision](
    request: Request, state: State, member: str, kind: type[R]
) -> tuple[list[R], list[Json]]:
    given = request.params[member]
    if not given:
        raise invalid(f"{member} cannot be empty.")
    if len(given) > AT_ONCE:
        raise invalid(f"{member} cannot have more than {AT_ONCE} items.")
    found = {key: state.get(kind, key) for key in given}
    failures = [{"arn": key, "reason": MISSING} for key, one in found.items() if one is None]
    return [one for one in found.values() if one is not None], failures


def _describe(state: State, one: ServiceDeployment) -> Json:
    service = state.get(Service, one.service_arn)
    deployments = service.deployments if service else ()
    counts = Counts.of(state.tasks_of_service(one.service_arn))
    is_open = one.status in service_rollouts.OPEN
    current = next((item for item in deployments if item.id == one.deployment_id), None)
    sources = one.source_revisions
    return {
        **{name: value for name, value in _brief(one).items() if name != "targetServiceRevisionArn"},
        "stoppedAt": one.stopped_at,
        "updatedAt": one.updated_at,
        "sourceServiceRevisions": [_revision_summary(arn, deployments, counts) for arn in sources],
        "targetServiceRevision": _revision_summary(one.target_revision, deployments, counts),
        "lifecycleStage": "SCALE_UP" if is_open else None,
        "deploymentConfiguration": one.configuration,
        "rollback": _rollback(one),
        "deploymentCircuitBreaker": _breaker(one, current.failed_tasks if is_open and current else one.failure_count),
        "alarms": {"status": "DISABLED", "alarmNames": [], "triggeredAlarmNames": []},
    }


def _revision_summary(arn: str, deployments: tuple[Deployment, ...], counts: Counts) -> Json:
    of = [one for one in deployments if one.revision_arn == arn]
    return {
        "arn": arn,
        "requestedTaskCount": sum(one.desired_count for one in of),
        "runningTaskCount": sum(counts.running[one.id] for one in of),
        "pendingTaskCount": sum(counts.pending[one.id] for one in of),
    }


def _rollback(one: ServiceDeployment) -> Json | None:
    if one.rollback_started_at is None:
        return None
    return {
        "reason": one.rollback_reason,
        "startedAt": one.rollback_started_at,
        "serviceRevisionArn": one.rollback_revision,
    }


def _breaker(one: ServiceDeployment, failures: int) -> Json:
    is_enabled = (one.configuration.get("deploymentCircuitBreaker") or {}).get("enable")
    is_tripped = is_enabled and one.failure_count >= one.threshold > 0
    is_open = one.status in service_rollouts.OPEN
    usual = "MONITORING" if is_open else "MONITORING_COMPLETE"
    status = "TRIGGERED" if is_tripped else usual if is_enabled else "DISABLED"
    return {"status": status, "failureCount": failures, "threshold": one.threshold}


def describe_revisions(request: Request, state: State) -> Outcome:
    """DescribeServiceRevisions."""
    found, failures = _looked_up(request, state, "serviceRevisionArns", ServiceRevision)
    revisions = [
        {
            **one.document,
            "serviceRevisionArn": one.arn,
            "serviceArn": one.service_arn,
            "clusterArn": _cluster_arn(one.service_arn),
            "createdAt": one.created_at,
        }
        for one in found
    ]
    return Outcome(body={"serviceRevisions": revisions, "failures": failures})


def _cluster_arn(service_arn: str) -> str:
    return service_arn.rpartition("/")[0].replace(":service/", ":cluster/", 1)


def stop(request: Request, state: State) -> Outcome:
    """StopServiceDeployment: go back to what completed last, by a deployment of its own."""
    key = request.params["serviceDeploymentArn"]
    kind = request.params.get("stopType") or "ROLLBACK"
    if kind != "ROLLBACK":
        raise unsupported(f"The stop type {kind} is not supported by this control plane. Use ROLLBACK.")
    rollout = _the_rollout(state, key)
    service = state.get(Service, rollout.service_arn)
    if service is None or service.status is not ServiceStatus.ACTIVE or rollout.status != service_rollouts.IN_PROGRESS:
        raise ApiError(
            "ConflictException", f"The service deployment is not in progress: its status is {rollout.status}."
        )
    begun = service_rollouts.roll_back(
        service,
        rollout,
        reason=STOPPED,
        message="ECS deployment stopped",
        find=state.get,
        now=request.now,
        ids=request.ids,
    )
    if begun is None:
        raise ApiError("ConflictException", "There is no completed service deployment to roll back to.")
    primary, *older = begun.service.deployments
    failed = [
        replace(one, rollout=Rollout.FAILED, rollout_reason="ECS deployment stopped.", updated_at=request.now)
        if one.id == rollout.deployment_id
        else one
        for one in older
    ]
    service = replace(begun.service, deployments=(primary, *failed))
    service = events.told(service, events.rolling_back(primary.id), now=request.now, ids=request.ids)
    return Outcome(body={"serviceDeploymentArn": key}, changes=Changes(put=(service, *begun.put), delete=begun.delete))


def _the_rollout(state: State, key: str) -> ServiceDeployment:
    found = state.get(ServiceDeployment, key)
    if found is None:
        raise ApiError("ServiceDeploymentNotFoundException", "Service deployment not found.")
    return found


def proceed(request: Request, state: State) -> Outcome:
    """ContinueServiceDeployment: there are no hooks that pause here, so none waits."""
    _the_rollout(state, request.params["serviceDeploymentArn"])
    hook = request.params["hookId"]
    raise unsupported(f"The service deployment has no paused lifecycle hook {hook}: hooks are not supported here.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ContinueServiceDeployment": proceed,
    "DescribeServiceDeployments": describe_deployments,
    "DescribeServiceRevisions": describe_revisions,
    "ListServiceDeployments": list_deployments,
    "StopServiceDeployment": stop,
}
