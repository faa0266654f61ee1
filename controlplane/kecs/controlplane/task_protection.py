"""GetTaskProtection and UpdateTaskProtection: tasks of services that scaling leaves alone for a while. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane.arns import task_arn, the_cluster
from kecs.controlplane.errors import invalid
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import State

type Json = dict[str, Any]

_MOST_UPDATED: Final = 10
_MOST_TOLD: Final = 100
_MINUTES: Final = range(1, 2881)
_USUAL: Final = timedelta(minutes=120)
_NO_SERVICE: Final = "The specified task is not part of an Amazon ECS service."
_STOPPED: Final = "The specified task is not running."
_MISSING: Final = "The specified task was not found."


def get_protection(request: Request, state: State) -> Outcome:
    """GetTaskProtection: of some tasks, or of all of a cluster's services."""
    cluster = the_cluster(state, request.scope, request.params["cluster"])
    given = request.params.get("tasks")
    if given is not None and len(given) > _MOST_TOLD:
        raise invalid(f"Tasks cannot have more than {_MOST_TOLD} items.")
    if not given:
        live = state.tasks(cluster.arn, desired_status=TaskStatus.RUNNING)
        found = [one for one in live if one.service_arn][:_MOST_TOLD]
        return _told(found, [], request.now)
    found, failures = _judged(state, [task_arn(cluster, one) for one in given])
    return _told(found, failures, request.now)


def update_protection(request: Request, state: State) -> Outcome:
    """UpdateTaskProtection."""
    params = request.params
    cluster = the_cluster(state, request.scope, params["cluster"])
    if not params["tasks"]:
        raise invalid("Tasks cannot be empty.")
    if len(params["tasks"]) > _MOST_UPDATED:
        raise invalid(f"Tasks cannot have more than {_MOST_UPDATED} items.")
    minutes = params.get("expiresInMinutes")
    if minutes is not None and minutes not in _MINUTES:
        raise invalid(f"expiresInMinutes must be between {_MINUTES[0]} and {_MINUTES[-1]}: {minutes}")
    if minutes is not None and not params["protectionEnabled"]:
        raise invalid("expiresInMinutes can only be specified when protectionEnabled is true.")
    found, failures = _judged(state, [task_arn(cluster, one) for one in params["tasks"]])
    until = request.now + (_USUAL if minutes is None else timedelta(minutes=minutes))
    on = params["protectionEnabled"]
    after = [replace(one, protected=on, protected_until=until if on else None) for one in found]
    return replace(_told(after, failures, request.now), changes=changed(*after))


def _judged(state: State, arns: list[str]) -> tuple[list[Task], list[Json]]:
    """Return the tasks that can be protected, and why others can't."""
    found: list[Task] = []
    failures: list[Json] = []
    for arn in dict.fromkeys(arns):
        task = state.get(Task, arn)
        if task is None:
            failures.append({"arn": arn, "reason": "MISSING", "detail": _MISSING})
        elif not task.service_arn:
            failures.append({"arn": arn, "reason": "TASK_NOT_VALID", "detail": _NO_SERVICE})
        elif task.desired_status is TaskStatus.STOPPED:
            failures.append({"arn": arn, "reason": "TASK_NOT_VALID", "detail": _STOPPED})
        else:
            found.append(task)
    return found, failures


def _told(tasks: list[Task], failures: list[Json], now: datetime) -> Outcome:
    return Outcome(body={"protectedTasks": [_protection(one, now) for one in tasks], "failures": failures})


def _protection(task: Task, now: datetime) -> Json:
    """Return a task's protection as it is now: it ends by itself."""
    on = task.protected and (task.protected_until is None or task.protected_until > now)
    return {"taskArn": task.arn, "protectionEnabled": on, "expirationDate": task.protected_until if on else None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetTaskProtection": get_protection,
    "UpdateTaskProtection": update_protection,
}
