"""How long what is over is remembered. Pure.

AWS shows a stopped task for about an hour, and keeps the deployments of a service for ninety days. Of what was deleted
it says only that it may go at any time: an hour here, so that who waits for INACTIVE sees it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from kecs.controlplane.definitions import unused
from kecs.controlplane.records import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Record,
    Service,
    ServiceDeployment,
    ServiceRevision,
    Task,
    TaskSet,
    Token,
)
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State

AT_ONCE = 5_000
"""Records that go in one transaction: the rest goes with the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is over is kept."""

    stopped_tasks: timedelta = timedelta(hours=1)
    deleted: timedelta = timedelta(hours=1)
    """Services, clusters, container instances, capacity providers."""
    deployments: timedelta = timedelta(days=90)
    most_deployments: int = 100
    """Of one service."""


def expired(state: State, now: datetime, retention: Retention | None = None) -> Changes:
    """Return the end of what has been over for long enough."""
    kept = retention or Retention()
    gone = tuple(islice(_gone(state, now, kept), AT_ONCE))
    ended = {record.key for record in gone if isinstance(record, ServiceDeployment)}
    left = (
        replace(service, service_deployments=tuple(arn for arn in service.service_deployments if arn not in ended))
        for service in state.every(Service)
        if ended.intersection(service.service_deployments)
    )
    return Changes(put=tuple(service for service in left if service not in gone), delete=gone)


def _gone(state: State, now: datetime, kept: Retention) -> Iterator[Record]:
    yield from (token for token in state.every(Token) if token.expires_at <= now)
    for task in state.find(Task, "status", TaskStatus.STOPPED):
        if _is_over(task.stopped_at or task.created_at, now, kept.stopped_tasks):
            yield task
    for service in state.every(Service):
        yield from _of_service(state, service, now, kept)
    for cluster in state.every(Cluster):
        if (
            cluster.status is ClusterStatus.INACTIVE
            and _is_over(cluster.deleted_at, now, kept.deleted)
            and not state.tally(Service, "cluster", cluster.arn)
            and not state.tally(Task, "cluster", cluster.arn)
        ):
            yield cluster
            yield from state.instances_of_cluster(cluster.arn)
    for instance in state.every(ContainerInstance):
        cluster_goes_on = state.get(Cluster, instance.cluster_arn)
        if (
            cluster_goes_on is not None
            and instance.status == "INACTIVE"
            and _is_over(instance.deleted_at, now, kept.deleted)
        ):
            yield instance
    for provider in state.every(CapacityProvider):
        if provider.status == "INACTIVE" and _is_over(provider.deleted_at, now, kept.deleted):
            yield provider
    yield from unused(state).delete


def _is_over(since: datetime | None, now: datetime, kept: timedelta) -> bool:
    return since is not None and since + kept <= now


def _of_service(state: State, service: Service, now: datetime, kept: Retention) -> Iterator[Record]:
    deployments = state.find(ServiceDeployment, "service", service.arn)
    revisions = state.find(ServiceRevision, "service", service.arn)
    if service.status is ServiceStatus.INACTIVE and _is_over(service.deleted_at, now, kept.deleted):
        yield service
        yield from deployments
        yield from revisions
        yield from state.find(TaskSet, "service", service.arn)
        return
    ended = [one for one in deployments if one.finished_at is not None]
    beyond = ended[: max(0, len(ended) - kept.most_deployments)]
    over = {one.arn: one for one in ended if _is_over(one.finished_at, now, kept.deployments)}
    over |= {one.arn: one for one in beyond}
    yield from over.values()
    used = set(_used_revisions(service, [one for one in deployments if one.arn not in over]))
    for revision in revisions:
        if revision.arn not in used and _is_over(revision.created_at, now, kept.deleted):
            yield revision


def _used_revisions(service: Service, deployments: list[ServiceDeployment]) -> Iterator[str]:
    yield service.completed_revision_arn
    yield from (one.revision_arn for one in service.deployments)
    for one in deployments:
        yield from (*one.source_revisions, one.target_revision, one.rollback_revision)
