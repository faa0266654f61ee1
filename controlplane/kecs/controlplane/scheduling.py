"""What is to be done for a service: tasks to make, tasks to stop, what has become of its deployments. Pure.

The answer depends on the records and the time alone, so it may be asked again at any time: when nothing is to be done
it is empty. Of a REPLICA service with AWS's own rolling deployments `scheduling_rollout` decides, of a DAEMON service
`scheduling_daemon`, of one whose deployments somebody else controls `scheduling_task_sets`.
"""

from datetime import datetime

from kecs.controlplane import scheduling_rollout
from kecs.controlplane.operation import Ids
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.scheduling_draft import Draft
from kecs.controlplane.scheduling_view import Schedule, ServiceView, see

__all__ = ["Schedule", "ServiceView", "schedule", "see"]


def schedule(view: ServiceView, *, now: datetime, ids: Ids) -> Schedule:
    """Return what is to change now, and when to ask again though nothing has."""
    draft = Draft(view, now, ids)
    if view.service.status is ServiceStatus.ACTIVE and view.service.deployments:
        scheduling_rollout.roll(draft)
    return draft.schedule()
