"""RunTask, StartTask and StopTask, and all other operations on tasks. Pure."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane import (
    capacity_providers,
    definitions,
    lifecycle,
    overrides,
    service_checks,
    tagging,
    task_listing,
    task_protection,
    tokens,
)
from kecs.controlplane.arns import the_cluster, the_task
from kecs.controlplane.container_instances import the_instance
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.placement import Need, Room, obstacle, on_instance, place, rooms
from kecs.controlplane.records import Cluster, ContainerInstance, Task, TaskDefinition
from kecs.controlplane.records.tasks import StopCode, TaskStatus
from kecs.controlplane.state import Changes, State
from kecs.controlplane.task_making import (
    FARGATE,
    TaskWish,
    chosen_provider,
    launch_type_of,
    new_task,
    service_wish,
    task_tags,
)
from kecs.controlplane.task_shape import describe

__all__ = ["OPERATIONS", "TaskWish", "describe", "new_task", "service_wish"]

type Json = dict[str, Any]

_MOST: Final = 10
_OVERRIDES_MOST: Final = 8192
_STARTED_BY_MOST: Final = 128
"""Of whatever characters: the reference lists letters, digits, hyphens, slashes and underscores, but a deploy tool has
started tasks of AWS as "ECS Deploy" for years (fabfuel/ecs-deploy, cli.py)."""
_PLATFORMS: Final = frozenset({"LATEST", "1.4.0", "1.3.0", "1.2.0", "1.1.0", "1.0.0"})
_NO_INSTANCES: Final = "No Container Instances were found in your cluster."


def run_task(request: Request, state: State) -> Outcome:
    """RunTask. What can't be placed is told as failures; the rest runs."""
    before = tokens.earlier(request, state)
    if before is not None:
        found = [one for arn in before.resources if (one := state.get(Task, arn)) is not None]
        return _ran(found, [])
    params = request.params
    count = params.get("count", 1)
    if not 1 <= count <= _MOST:
        raise invalid(f"count must be between 1 and {_MOST}: {count}")
    cluster, definition, wish = _wished(request, state)
    providers, launch_type = _capacity(request, state, cluster)
    platform = params.get("platformVersion") or ""
    if launch_type == FARGATE and platform and platform not in _PLATFORMS:
        raise ApiError("PlatformUnknownException", f"The specified platform does not exist: {platform}")
    service_checks.fits(definition, launch_type, wish.network, platform)
    service_checks.placement(wish.placement_constraints, wish.placement_strategy, launch_type, "REPLICA")
    wishes = _shared_out(replace(wish, launch_type=launch_type, platform_version=platform), providers, count)
    made, failures = _placed(request, state, cluster, definition, wishes)
    kept = tokens.kept(request, *(one.arn for one in made))
    return _ran(made, failures, Changes(put=(*made, *kept)))


def _ran(made: list[Task], failures: list[Json], changes: Changes | None = None) -> Outcome:
    body = {"tasks": [describe(one, tags=True) for one in made], "failures": failures}
    return Outcome(body=body, changes=changes or Changes())


def _wished(request: Request, state: State) -> tuple[Cluster, TaskDefinition, TaskWish]:
    """Return what RunTask and StartTask have in common."""
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    definition = definitions.find(state, request.scope, params["taskDefinition"], use=definitions.Use.RUN)
    said = dict(params.get("overrides") or {})
    if len(json.dumps(said, separators=(",", ":"))) > _OVERRIDES_MOST:
        raise invalid(f"Container Overrides length must be at most {_OVERRIDES_MOST}")
    overrides.check(definition, said)
    if params.get("propagateTags") == "SERVICE":
        raise invalid("propagateTags can not be SERVICE for a task that no service makes.")
    propagated = definition.tags if params.get("propagateTags") == "TASK_DEFINITION" else {}
    managed = params.get("enableECSManagedTags") or False
    return (
        cluster,
        definition,
        TaskWish(
            group=_group(params.get("group") or ""),
            started_by=_started_by(request),
            network=service_checks.network(params.get("networkConfiguration")),
            overrides=said,
            placement_constraints=tuple(params.get("placementConstraints") or ()),
            placement_strategy=tuple(params.get("placementStrategy") or ()),
            volume_configurations=service_checks.volumes(params, definition),
            enable_execute_command=params.get("enableExecuteCommand") or False,
            tags=task_tags(tagging.from_wire(params.get("tags")), propagated, managed=managed, cluster=cluster),
        ),
    )


def _group(given: str) -> str:
    if given.startswith("service:"):
        raise invalid("Invalid namespace for group.")
    return given


def _started_by(request: Request) -> str:
    given = str(request.params.get("startedBy") or "")
    if len(given) > _STARTED_BY_MOST:
        raise invalid(f"startedBy must have at most {_STARTED_BY_MOST} characters, and has {len(given)}")
    return given


def _capacity(request: Request, state: State, cluster: Cluster) -> tuple[tuple[Json, ...], str]:
    """Return the capacity provider strategy, where there is one, and the launch type."""
    params = request.params
    given, strategy = params.get("launchType"), params.get("capacityProviderStrategy")
    if given and strategy:
        raise invalid("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    if given:
        return (), str(given)
    items = capacity_providers.strategy(state, cluster, strategy or cluster.default_strategy)
    return items, launch_type_of(items[0]["capacityProvider"]) if items else "EC2"


def _shared_out(wish: TaskWish, strategy: tuple[Json, ...], count: int) -> list[TaskWish]:
    """Return a wish for each task, the capacity providers by their bases and weights within this request."""
    if not strategy:
        return [wish] * count
    counts: Counter[str] = Counter()
    wishes = []
    for _ in range(count):
        provider = chosen_provider(strategy, counts)
        counts[provider] += 1
        wishes.append(replace(wish, capacity_provider=provider, launch_type=launch_type_of(provider)))
    return wishes


def _placed(
    request: Request, state: State, cluster: Cluster, definition: TaskDefinition, wishes: list[TaskWish]
) -> tuple[list[Task], list[Json]]:
    """Return new tasks, on instances where they are to be on some, and why others can't be."""

    def made(wish: TaskWish) -> Task:
        return new_task(cluster=cluster, definition=definition, wish=wish, now=request.now, ids=request.ids)

    if all(wish.launch_type == FARGATE for wish in wishes):
        return [made(wish) for wish in wishes], []
    found = rooms(state, cluster)
    if not found:
        raise invalid(_NO_INSTANCES)
    tasks: list[Task] = []
    for wish in wishes:
        task = made(wish)
        need = Need.of(task, definition)
        room, failures = place(found, need)
        if room is None:
            return tasks, failures
        found[found.index(room)] = room.without(need)
        tasks.append(on_instance(task, room.instance, pinned=bool(need.constraints or need.strategy)))
    return tasks, []


def start_task(request: Request, state: State) -> Outcome:
    """StartTask: one task on each of some container instances."""
    params = request.params
    if not params["containerInstances"]:
        raise invalid("Container Instances cannot be empty.")
    if len(params["containerInstances"]) > _MOST:
        raise invalid(f"Container instances cannot have more than {_MOST} items.")
    cluster, definition, wish = _wished(request, state)
    service_checks.fits(definition, "EC2", wish.network, "")
    made: list[Task] = []
    failures: list[Json] = []
    for given in params["containerInstances"]:
        task = new_task(cluster=cluster, definition=definition, wish=wish, now=request.now, ids=request.ids)
        instance = the_instance(state, cluster, given)
        reason = _why_not(state, instance, Need.of(task, definition))
        if instance is None or reason:
            failures.append({"arn": instance.arn if instance else given, "reason": reason})
        else:
            made.append(on_instance(task, instance, pinned=True))
    return _ran(made, failures, Changes(put=tuple(made)))


def _why_not(state: State, instance: ContainerInstance | None, need: Need) -> str:
    if instance is None:
        return "MISSING"
    if instance.status not in {"ACTIVE", "DRAINING"}:
        return "INACTIVE"
    return obstacle(Room.of(state, instance), need)


def stop_task(request: Request, state: State) -> Outcome:
    """StopTask. A task that has stopped, or is to stop already, is told as it is."""
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    task = the_task(state, cluster, request.params["task"])
    reason = request.params.get("reason") or lifecycle.STOPPED_BY_USER
    if task.last_status is TaskStatus.STOPPED:
        return Outcome(body={"task": describe(task, tags=True)})
    found = lifecycle.stop(task, StopCode.USER_INITIATED, reason, request.now)
    return Outcome(body={"task": describe(found, tags=True)}, changes=changed(found))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "RunTask": run_task,
    "StartTask": start_task,
    "StopTask": stop_task,
    **task_listing.OPERATIONS,
    **task_protection.OPERATIONS,
}
