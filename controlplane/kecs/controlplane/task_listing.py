"""DescribeTasks, ListTasks and ExecuteCommand. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kecs.controlplane.arns import task_arn, the_cluster, the_service, the_task
from kecs.controlplane.container_instances import the_instance
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.pages import ordered
from kecs.controlplane.records import Cluster, Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import State
from kecs.controlplane.task_shape import describe

type Json = dict[str, Any]

_MOST: Final = 100
_EXECUTE_DISABLED: Final = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn’t running. Wait and try again or run a new task with execute command enabled and try again."  # noqa: RUF001 - AWS's own apostrophe
)
_NOT_CONNECTED: Final = "The execute command failed due to an internal error. Try again later."


def identified(cluster: Cluster, given: str) -> str:
    """Return the ARN that a request's task means. Raise InvalidParameterException for the ARN of another cluster's."""
    parts = given.split("/")
    if given.startswith("arn:") and len(parts) == 3 and parts[1] != cluster.name:  # noqa: PLR2004 - kind, cluster, id
        raise invalid(f"Invalid identifier: Identifier is for cluster {parts[1]}. Your cluster is {cluster.name}")
    return task_arn(cluster, given)


def describe_tasks(request: Request, state: State) -> Outcome:
    """DescribeTasks."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    if not params["tasks"]:
        raise invalid("Tasks cannot be empty.")
    if len(params["tasks"]) > _MOST:
        raise invalid(f"Tasks cannot have more than {_MOST} items.")
    tags = "TAGS" in (params.get("include") or ())
    arns = list(dict.fromkeys(identified(cluster, given) for given in params["tasks"]))
    found = {arn: state.get(Task, arn) for arn in arns}
    return Outcome(
        body={
            "tasks": [describe(task, tags=tags) for task in found.values() if task is not None],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn, task in found.items() if task is None],
        }
    )


def list_tasks(request: Request, state: State) -> Outcome:
    """ListTasks: oldest first. Nothing is ever wanted to be PENDING, so that filter finds nothing."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    wanted = params.get("desiredStatus") or TaskStatus.RUNNING.value
    service, instance = params.get("serviceName"), params.get("containerInstance")
    launch_type = params.get("launchType")
    service_arn = the_service(state, cluster, service).arn if service else None
    instance_arn = _instance(state, cluster, instance) if instance else None

    def after(position: int) -> Iterator[Task]:
        found = state.tasks(
            cluster.arn,
            desired_status=TaskStatus(wanted),
            family=params.get("family"),
            started_by=params.get("startedBy"),
            service_arn=service_arn,
            instance_arn=instance_arn,
            after=position,
        )
        return (one for one in found if not launch_type or one.launch_type == launch_type)

    chosen = ordered(request, after, place=lambda one: state.position(Task, one.arn))
    return Outcome(body={"taskArns": [one.arn for one in chosen.items], "nextToken": chosen.next_token})


def _instance(state: State, cluster: Cluster, given: str) -> str:
    found = the_instance(state, cluster, given)
    if found is None:
        raise invalid("The referenced container instance was not found.")
    return found.arn


def execute_command(request: Request, state: State) -> Outcome:
    """ExecuteCommand: all that AWS refuses, and then that nothing can be reached; there is no data channel."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    task = the_task(state, cluster, params["task"])
    if not task.enable_execute_command or task.last_status is TaskStatus.STOPPED:
        raise invalid(_EXECUTE_DISABLED)
    name = params.get("container")
    if name is None and len(task.containers) > 1:
        raise invalid("Container name must be specified for a task with more than one container.")
    if name is not None and name not in {one.name for one in task.containers}:
        raise invalid(f"The container {name} does not exist in the task.")
    raise ApiError("TargetNotConnectedException", _NOT_CONNECTED)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeTasks": describe_tasks,
    "ExecuteCommand": execute_command,
    "ListTasks": list_tasks,
}
