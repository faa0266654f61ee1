"""A DAEMON service's tasks: one on each machine that may have one, old ones stopped before new ones start. Pure."""

from dataclasses import replace
from itertools import groupby

from kecs.controlplane import scheduling_limits as limits
from kecs.controlplane import scheduling_progress as progress
from kecs.controlplane.cluster_query import query
from kecs.controlplane.records import ContainerInstance, Task, TaskDefinition
from kecs.controlplane.records.services import Rollout
from kecs.controlplane.scheduling_draft import Draft, Fitness, has_stopped


def keep(draft: Draft) -> None:
    """Bring a service's tasks one step nearer to one on each machine."""
    eligible = [one for one in draft.view.instances if is_eligible(draft, one)]
    draft.service = replace(draft.service, desired_count=len(eligible))
    progress.account(draft)
    progress.judge(draft)
    _stop_misplaced(draft, eligible)
    _stop_replaced(draft, len(eligible))
    _start_missing(draft, eligible)
    progress.conclude(draft, len(eligible))


def is_eligible(draft: Draft, instance: ContainerInstance) -> bool:
    """Tell whether a machine is to have a task: it is a runtime's, it is active, and it meets all constraints."""
    if instance.status != "ACTIVE" or not instance.node:
        return False
    definition = draft.found(TaskDefinition, draft.primary.definition_arn)
    constraints = [
        *draft.service.placement_constraints,
        *((definition.document.get("placementConstraints") or ()) if definition else ()),
    ]
    facts = draft.view.facts.get(instance.arn, {})
    return all(query(one["expression"])(facts) for one in constraints if one.get("type") == "memberOf")


def is_on(task: Task, instance: ContainerInstance) -> bool:
    """Tell whether a task is on a machine: by its record of it, or by the machine's name."""
    return task.container_instance_arn == instance.arn or bool(task.node and task.node == instance.node)


def _stop_misplaced(draft: Draft, eligible: list[ContainerInstance]) -> None:
    """Stop tasks on machines that are drained or gone, and all but the best of several on one."""
    placed = {
        task.arn: next((index for index, one in enumerate(eligible) if is_on(task, one)), -1) for task in draft.live
    }
    ordered = sorted(draft.live, key=lambda one: (placed[one.arn], -draft.fitness(one), one.created_at))
    stopped: list[Task] = []
    for index, group in groupby(ordered, key=lambda one: placed[one.arn]):
        tasks = list(group)
        stopped += tasks if index < 0 else tasks[1:]
    draft.stop(stopped)


def _stop_replaced(draft: Draft, wanted: int) -> None:
    """Stop tasks of older deployments and unhealthy ones, as many as the minimum allows: their machines are taken."""
    if draft.primary.rollout is Rollout.FAILED:
        return
    healthy = [one for one in draft.live if is_relied_on(draft, one)]
    budget = len(healthy) - limits.least(wanted, draft.service.deployment_configuration)
    stopped: list[Task] = []
    for task in sorted(draft.live, key=lambda one: (draft.fitness(one), one.created_at)):
        is_old = task.deployment_id != draft.primary.id
        if not is_old and draft.fitness(task) is not Fitness.UNHEALTHY:
            continue
        if draft.is_protected(task) and is_old:
            continue
        if is_relied_on(draft, task):
            if budget <= 0:
                continue
            budget -= 1
        stopped.append(task)
    draft.stop(stopped)


def is_relied_on(draft: Draft, task: Task) -> bool:
    """Tell whether a task counts towards the minimum."""
    least = Fitness.HEALTHY if task.deployment_id == draft.primary.id else Fitness.SETTLING
    return draft.fitness(task) >= least


def _start_missing(draft: Draft, eligible: list[ContainerInstance]) -> None:
    """Start a task on each machine where nothing of the service is left, also nothing that stops."""
    if draft.primary.rollout is Rollout.FAILED:
        return
    there = [one for one in draft.tasks if not has_stopped(one)]
    missing = [one for one in eligible if not any(is_on(task, one) for task in there) and is_ready(draft, one)]
    if not missing or progress.is_paused(draft, draft.primary.streak, len(eligible)):
        return
    starting = sum(draft.fitness(one) is Fitness.STARTING for one in draft.live)
    for instance in missing[: max(limits.STARTING - starting, 0)]:
        draft.start(draft.primary, 1, instance)


def is_ready(draft: Draft, instance: ContainerInstance) -> bool:
    """Tell whether a machine takes new tasks."""
    node = draft.view.nodes.get(instance.node)
    return node is None or (node.ready and not node.unschedulable)
