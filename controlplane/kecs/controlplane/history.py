"""How long what is over is remembered. Pure.

AWS shows a stopped task for about an hour, and keeps the deployments of a service for ninety days. Of what was deleted
it says only that it may go at any time: an hour here, so that who waits for INACTIVE sees it.

A record is looked at when its time has come, and when it, or what it depends on, has changed: never all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane.agenda import Agenda
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
    TaskDefinition,
    TaskSet,
    Token,
)
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State

AT_ONCE: Final = 500
"""Records that go in one transaction, and some more where a service has them: the loop waits while they are taken out
of memory. The rest goes with the next look."""
AGAIN: Final = timedelta(seconds=30)
"""When what is to go is looked at again: that it is gone may not have been kept."""
_BATCH: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is over is kept."""

    stopped_tasks: timedelta = timedelta(hours=1)
    deleted: timedelta = timedelta(hours=1)
    """Services, clusters, container instances, capacity providers."""
    deployments: timedelta = timedelta(days=90)
    most_deployments: int = 100
    """Of one service."""


type Found = tuple[Iterable[Record], datetime | None]
"""What has been over for long enough, and when there may be more."""


class History:
    """What of a state is to be forgotten. It is to be told of every change."""

    def __init__(self, state: State, retention: Retention | None = None) -> None:
        self._state = state
        self._kept = retention or Retention()
        self._agenda = Agenda()
        for kind in _LOOKED_AT.values():
            self.changed(Changes(put=tuple(state.every(kind))))

    def changed(self, changes: Changes) -> None:
        """Take in what has changed."""
        for record in changes.put:
            self._note(record)
        for record in changes.delete:
            if isinstance(record, Task | Service):  # its cluster may have waited for that
                self._agenda.add(_key(Cluster, record.cluster_arn))

    def _note(self, record: Record) -> None:
        match record:
            case Service():
                self._agenda.add(_key(Service, record.arn))
            case ServiceDeployment() | ServiceRevision() | TaskSet():
                self._agenda.add(_key(Service, record.service_arn))
            case Task() | Token() | Cluster() | ContainerInstance() | CapacityProvider():
                if (over := _over(record, self._kept)) is not None:
                    self._agenda.at(_key(type(record), record.key), over)
            case _:
                pass

    def expired(self, now: datetime) -> Changes:
        """Return the end of what has been over for long enough, and what services say of it."""
        gone: dict[tuple[type[Any], str], Record] = {}
        while len(gone) < AT_ONCE and (keys := self._agenda.take(_BATCH, now)):
            for key in keys:
                found, again = self._look(key, now)
                named = {(type(record), record.key): record for record in found}
                gone |= named
                if named:
                    again = now + AGAIN
                if again is not None:
                    self._agenda.at(key, again)
        gone |= {(TaskDefinition, record.key): record for record in unused(self._state).delete}
        return Changes(put=tuple(self._left(gone)), delete=tuple(gone.values()))

    def _left(self, gone: dict[tuple[type[Any], str], Record]) -> Iterator[Service]:
        """Yield services that name deployments which go."""
        ended = {record.arn: record.service_arn for record in gone.values() if isinstance(record, ServiceDeployment)}
        for arn in dict.fromkeys(ended.values()):
            service = self._state.get(Service, arn)
            if (
                service is not None
                and (Service, arn) not in gone
                and not ended.keys().isdisjoint(service.service_deployments)
            ):
                named = tuple(one for one in service.service_deployments if one not in ended)
                yield replace(service, service_deployments=named)

    def _look(self, key: str, now: datetime) -> Found:
        name, _, of = key.partition(" ")
        record = self._state.get(_LOOKED_AT[name], of)
        if isinstance(record, Service):
            return _of_service(self._state, record, now, self._kept)
        over = None if record is None else _over(record, self._kept)
        if record is None or over is None:
            return (), None
        if over > now:
            return (), over
        match record:
            case Cluster():
                return _of_cluster(self._state, record), None
            case ContainerInstance() if self._state.get(Cluster, record.cluster_arn) is None:
                return (), None
            case _:
                return (record,), None


_LOOKED_AT: Final[dict[str, type[Any]]] = {
    kind.__name__: kind for kind in (Token, Task, Service, Cluster, ContainerInstance, CapacityProvider)
}


def _key(kind: type[Record], key: str) -> str:
    return f"{kind.__name__} {key}"


def _over(record: Record, kept: Retention) -> datetime | None:
    """Return when a record has been over for long enough; None while it is not over."""
    match record:
        case Token():
            return record.expires_at
        case Task(last_status=TaskStatus.STOPPED):
            return (record.stopped_at or record.created_at) + kept.stopped_tasks
        case Service(status=ServiceStatus.INACTIVE) | Cluster(status=ClusterStatus.INACTIVE):
            since = record.deleted_at
        case ContainerInstance(status="INACTIVE") | CapacityProvider(status="INACTIVE"):
            since = record.deleted_at
        case _:
            return None
    return None if since is None else since + kept.deleted


def _of_cluster(state: State, cluster: Cluster) -> Iterator[Record]:
    """Yield a cluster that is over with its machines, once nothing else of it is left."""
    if not state.tally(Service, "cluster", cluster.arn) and not state.tally(Task, "cluster", cluster.arn):
        yield cluster
        yield from state.instances_of_cluster(cluster.arn)


def _of_service(state: State, service: Service, now: datetime, kept: Retention) -> Found:
    deployments = state.find(ServiceDeployment, "service", service.arn)
    revisions = state.find(ServiceRevision, "service", service.arn)
    if (over := _over(service, kept)) is not None and over <= now:
        return (service, *deployments, *revisions, *state.find(TaskSet, "service", service.arn)), None
    due = {one.arn: one.finished_at + kept.deployments for one in deployments if one.finished_at is not None}
    beyond = list(due)[: max(0, len(due) - kept.most_deployments)]
    ended = {arn for arn, when in due.items() if when <= now}.union(beyond)
    used = set(_used_revisions(service, [one for one in deployments if one.arn not in ended]))
    ages = {one.arn: one.created_at + kept.deleted for one in revisions if one.arn not in used}
    gone: list[Record] = [one for one in deployments if one.arn in ended]
    gone += (one for one in revisions if one.arn in ages and ages[one.arn] <= now)
    times = (*(when for arn, when in due.items() if arn not in ended), *ages.values(), *([over] if over else []))
    return gone, min((when for when in times if when > now), default=None)


def _used_revisions(service: Service, deployments: list[ServiceDeployment]) -> Iterator[str]:
    yield service.completed_revision_arn
    yield from (one.revision_arn for one in service.deployments)
    for one in deployments:
        yield from (*one.source_revisions, one.target_revision, one.rollback_revision)
