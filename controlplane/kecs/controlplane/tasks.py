"""Tasks as operations of the API see them. Pure."""

from collections.abc import Mapping
from typing import Final

from kecs.controlplane.operation import Operation
from kecs.controlplane.task_making import TaskWish, new_task, service_wish
from kecs.controlplane.task_shape import describe

__all__ = ["OPERATIONS", "TaskWish", "describe", "new_task", "service_wish"]

OPERATIONS: Final[Mapping[str, Operation]] = {}
