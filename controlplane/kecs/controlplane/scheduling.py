"""What is to be done for a service: tasks to make, tasks to stop, what has become of its deployments. Pure.

The answer depends on the records and the time alone, so it may be asked again at any time: when nothing is to be done
it is empty. Of a REPLICA service with AWS's own rolling deployments `scheduling_rollout` decides, of a DAEMON service
`scheduling_daemon`, of one whose deployments somebody else controls `scheduling_task_sets`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from kecs.controlplane import scheduling_daemon, scheduling_end, scheduling_rollout, scheduling_task_sets
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import Service
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.scheduling_draft import Draft
from kecs.controlplane.scheduling_view import Schedule, ServiceView, see

__all__ = ["Schedule", "ServiceView", "schedule", "see"]

_BY_STRATEGY: Final[Mapping[str, Callable[[Draft], None]]] = {
    "REPLICA": scheduling_rollout.roll,
    "DAEMON": scheduling_daemon.keep,
}


def schedule(view: ServiceView, *, now: datetime, ids: Ids) -> Schedule:
    """Return what is to change now, and when to ask again though nothing has."""
    draft = Draft(view, now, ids)
    _part(view.service)(draft)
    return draft.schedule()


def _part(service: Service) -> Callable[[Draft], None]:
    """Return what decides about a service."""
    if service.status is ServiceStatus.DRAINING:
        return scheduling_end.drain
    if service.status is ServiceStatus.INACTIVE:
        return _nothing
    if service.deployment_controller != "ECS":
        return scheduling_task_sets.keep
    return _BY_STRATEGY[service.scheduling_strategy] if service.deployments else _nothing


def _nothing(_draft: Draft) -> None:
    """Decide nothing."""
