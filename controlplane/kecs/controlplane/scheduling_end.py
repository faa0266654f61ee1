"""The end of a service that was deleted: its tasks stop, then it is INACTIVE, and is still described. Pure."""

from dataclasses import replace
from typing import Final

from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.scheduling_draft import PRESENT, Draft

_THERE: Final = PRESENT | {TaskStatus.DEACTIVATING}
"""Statuses of tasks that a service waits for. It does not wait for STOPPING: so says the reference of DeleteService."""


def drain(draft: Draft) -> None:
    """Stop all tasks, protected ones too, and be gone when they are."""
    draft.stop(draft.live)
    if any(one.last_status in _THERE for one in draft.tasks):
        return
    for task_set in draft.view.task_sets:
        draft.delete(task_set)
    draft.service = replace(
        draft.service,
        status=ServiceStatus.INACTIVE,
        deployments=(),
        task_sets=(),
        told_at={},
        deleted_at=draft.now,
    )
