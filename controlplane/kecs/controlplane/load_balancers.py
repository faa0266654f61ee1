"""Which targets a service's load balancers are to have, and what has become of it. Pure.

| task is                            | registration | wish                                   | then              |
|------------------------------------|--------------|----------------------------------------|-------------------|
| to run, ACTIVATING or RUNNING      | WANTED       | register it in each group it is not in | DONE when in all  |
| to stop, or has stopped            | WANTED       | deregister it where it is              | GONE when in none |
| to stop, or has stopped            | DONE         | deregister it where it is              | GONE when in none |
| anything else                      | any          | nothing                                |                   |
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from kecs.controlplane import events
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import ContainerInstance, Service, Task, TaskSet
from kecs.controlplane.records.tasks import Container, Registration, TaskStatus
from kecs.controlplane.state import Changes, State

type Json = dict[str, Any]

GIVEN_UP_AFTER: Final = timedelta(seconds=60)
"""How long a task that is to stop waits for a load balancer that can't be told."""
_REACHED: Final = frozenset({TaskStatus.ACTIVATING, TaskStatus.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """What another service says of a target group: the answer to a question of kind `target_group`; None: no such."""

    arn: str
    target_type: str = "ip"
    """ip, instance, lambda or alb."""
    load_balancers: tuple[str, ...] = ()
    """ARNs of those that send it requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What receives requests."""

    id: str
    """Its IPv4 address, or its machine's id."""
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """What a load balancer finds of a target."""

    state: str
    """initial, healthy, unhealthy, unused, draining, unavailable."""
    reason: str = ""


class Act(StrEnum):
    """What is to be done with targets."""

    REGISTER = "register"
    DEREGISTER = "deregister"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Targets of one group that are to be registered, or deregistered."""

    act: Act
    group: str
    targets: Mapping[str, Target]
    """By their tasks' ARNs."""


def wishes(state: State, service: Service) -> tuple[Wish, ...]:
    """Return what a service's target groups are to be told. Registrations first: others take over before one leaves."""
    found: dict[tuple[Act, str], dict[str, Target]] = {}
    for task in state.tasks_of_service(service.arn):
        for act, group, target in _of_task(state, service, task):
            found.setdefault((act, group), {})[task.arn] = target
    ordered = sorted(found.items(), key=lambda one: (one[0][0] is Act.DEREGISTER, one[0][1]))
    return tuple(Wish(act=act, group=group, targets=targets) for (act, group), targets in ordered)


def _of_task(state: State, service: Service, task: Task) -> Iterator[tuple[Act, str, Target]]:
    if is_leaving(task):
        for one in task.targets:
            yield Act.DEREGISTER, one["targetGroupArn"], Target(id=one["id"], port=one["port"])
    elif task.registration is Registration.WANTED and task.last_status in _REACHED:
        there = {(one["targetGroupArn"], one["port"]) for one in task.targets}
        for balancer in balancers_of(state, service, task):
            target = _target(state, task, balancer)
            if target is not None and (balancer["targetGroupArn"], target.port) not in there:
                yield Act.REGISTER, balancer["targetGroupArn"], target


def is_leaving(task: Task) -> bool:
    """Tell whether a task is to be nobody's target any more, and may still be one."""
    is_ending = task.desired_status is TaskStatus.STOPPED or task.last_status is TaskStatus.STOPPED
    return is_ending and task.registration in {Registration.WANTED, Registration.DONE}


def balancers_of(state: State, service: Service, task: Task) -> Sequence[Json]:
    """Return the load balancers of what a task was made from."""
    for deployment in service.deployments:
        if deployment.id == task.deployment_id:
            return deployment.load_balancers
    for key in service.task_sets:
        task_set = state.get(TaskSet, key)
        if task_set is not None and task_set.id == task.deployment_id:
            return task_set.load_balancers
    return ()


def _target(state: State, task: Task, balancer: Json) -> Target | None:
    """Return where a task's container is reached; None while that is not known."""
    container = next((one for one in task.containers if one.name == balancer["containerName"]), None)
    if container is None:
        return None
    port = int(balancer["containerPort"])
    addresses = [one["privateIpv4Address"] for one in container.network_interfaces if one.get("privateIpv4Address")]
    if addresses:
        return Target(id=addresses[0], port=port)
    instance = state.get(ContainerInstance, task.container_instance_arn)
    host_port = _host_port(container, port)
    if instance is None or host_port is None:
        return None
    return Target(id=instance.ec2_instance_id or instance.node, port=host_port)


def _host_port(container: Container, port: int) -> int | None:
    bound = (one["hostPort"] for one in container.network_bindings if one.get("containerPort") == port)
    return next(bound, None)


def let_go(state: State, service: Service) -> Changes:
    """Return what needs no load balancer to be told: tasks that end and are in no group, and what waits for none."""
    put = []
    for task in state.tasks_of_service(service.arn):
        is_nowhere = is_leaving(task) and not task.targets
        waits_for_none = (
            task.registration is Registration.WANTED
            and task.last_status in _REACHED
            and not is_leaving(task)
            and not balancers_of(state, service, task)
        )
        if is_nowhere or waits_for_none:
            put.append(replace(task, registration=Registration.GONE if is_nowhere else Registration.NONE))
    return Changes(put=tuple(put))


def done(state: State, service: Service, wish: Wish, *, now: datetime, ids: Ids) -> Changes:
    """Return what follows when a group has been told: where the tasks are by now, and the service's history."""
    tasks = [task for arn in wish.targets if (task := state.get(Task, arn)) is not None]
    changed = tuple(_told(state, service, task, wish) for task in tasks)
    count = len(wish.targets)
    if wish.act is Act.REGISTER:
        messages = [events.registered(count, wish.group)]
    else:
        messages = [events.draining(count), events.deregistered(count, wish.group)]
    told_at = {key: at for key, at in service.told_at.items() if key != _key(wish)}
    told = events.told(replace(service, told_at=told_at), *messages, now=now, ids=ids)
    return Changes(put=(*changed, told))


def _told(state: State, service: Service, task: Task, wish: Wish) -> Task:
    target = wish.targets[task.arn]
    one: Json = {"targetGroupArn": wish.group, "id": target.id, "port": target.port}
    others = tuple(other for other in task.targets if other != one)
    if wish.act is Act.DEREGISTER:
        return replace(task, targets=others, registration=task.registration if others else Registration.GONE)
    wanted = balancers_of(state, service, task)
    targets = (*others, one)
    is_done = task.registration is Registration.WANTED and len(targets) >= len(wanted)
    return replace(task, targets=targets, registration=Registration.DONE if is_done else task.registration)


def failed(state: State, service: Service, wish: Wish, reason: str, *, now: datetime, ids: Ids) -> Changes:
    """Return what follows when a group could not be told: it is said, each six hours; no task waits for ever."""
    put: list[Any] = []
    key = _key(wish)
    told = service.told_at.get(key)
    if told is None or told + events.AGAIN <= now:
        message = events.not_reached(wish.group, reason)
        service = events.told(service, message, now=now, ids=ids)
        put.append(replace(service, told_at={**service.told_at, key: now}))
    if wish.act is Act.DEREGISTER:
        tasks = [task for arn in wish.targets if (task := state.get(Task, arn)) is not None]
        put += [
            replace(task, targets=(), registration=Registration.GONE)
            for task in tasks
            if (task.stopping_at or task.stopped_at or now) + GIVEN_UP_AFTER <= now
        ]
    return Changes(put=tuple(put))


def _key(wish: Wish) -> str:
    return f"targets:{wish.act.value}:{wish.group}"


def watched(tasks: Iterable[Task]) -> dict[str, dict[Target, Task]]:
    """Return the registered targets of tasks that are to run, by group: whose health is of interest."""
    found: dict[str, dict[Target, Task]] = {}
    for task in tasks:
        if task.registration is Registration.DONE and task.desired_status is TaskStatus.RUNNING:
            for one in task.targets:
                found.setdefault(one["targetGroupArn"], {})[Target(id=one["id"], port=one["port"])] = task
    return found


def judged(
    state: State, service: Service, group: str, health: Mapping[Target, TargetHealth], *, now: datetime, ids: Ids
) -> Changes:
    """Return what follows from the health of a group's targets: the scheduler replaces what is unhealthy."""
    put: list[Task] = []
    messages: list[str] = []
    for target, task in watched(state.tasks_of_service(service.arn)).get(group, {}).items():
        found = health.get(target)
        is_unhealthy = found is not None and found.state == "unhealthy"
        if is_unhealthy and not task.unhealthy_in and found is not None:
            put.append(replace(task, unhealthy_in=group))
            messages.append(events.unhealthy_target(target.port, group, found.reason or "Health checks failed"))
        elif not is_unhealthy and task.unhealthy_in == group:
            put.append(replace(task, unhealthy_in=""))
    if not messages:
        return Changes(put=tuple(put))
    return Changes(put=(*put, events.told(service, *messages, now=now, ids=ids)))
