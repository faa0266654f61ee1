"""The tasks of task sets: as many of each as its scale says. Somebody else decides about scales. Pure."""

from dataclasses import replace

from kecs.controlplane import events
from kecs.controlplane import scheduling_limits as limits
from kecs.controlplane import scheduling_progress as progress
from kecs.controlplane.records import Task, TaskSet
from kecs.controlplane.records.services import Deployment, DeploymentStatus
from kecs.controlplane.scheduling_draft import Draft, Fitness
from kecs.controlplane.service_shape import computed_count

STEADY = "STEADY_STATE"
STABILIZING = "STABILIZING"


def keep(draft: Draft) -> None:
    """Bring each task set one step nearer to its scale."""
    ended = progress.unaccounted(draft)
    known = {one.id for one in draft.view.task_sets}
    draft.stop([one for one in draft.live if one.deployment_id not in known])
    for task_set in draft.view.task_sets:
        _keep(draft, task_set, [one for one in ended if one.deployment_id == task_set.id and progress.is_failure(one)])
    for task in ended:
        draft.account(task)
    progress.say_when_unplaced(draft)


def _keep(draft: Draft, task_set: TaskSet, failed: list[Task]) -> None:
    wanted = computed_count(draft.service, task_set)
    own = [one for one in draft.live if one.deployment_id == task_set.id]
    streak = progress.told_streak(draft, task_set.id, task_set.streak, failed)
    unhealthy = [one for one in own if draft.fitness(one) is Fitness.UNHEALTHY]
    draft.stop(_surplus(draft, own, wanted) if len(own) > wanted else unhealthy, task_set=task_set.id)
    if len(own) < wanted and not progress.is_paused(draft, streak, wanted):
        draft.start(_as_deployment(task_set, wanted), min(wanted - len(own), limits.STARTING), task_set=task_set.id)
    present = [one for one in draft.present if one.deployment_id == task_set.id]
    if task_set.status == "DRAINING" and not present:
        draft.delete(task_set)
        kept = tuple(one for one in draft.service.task_sets if one != task_set.arn)
        draft.service = replace(draft.service, task_sets=kept)
        return
    healthy = sum(draft.fitness(one) is Fitness.HEALTHY for one in own)
    is_steady = healthy == len(present) == wanted and task_set.status != "DRAINING"
    _stabilise(draft, replace(task_set, streak=streak), STEADY if is_steady else STABILIZING)


def _surplus(draft: Draft, own: list[Task], wanted: int) -> list[Task]:
    ordered = sorted(own, key=lambda one: (draft.fitness(one), -one.created_at.timestamp()))
    return [one for one in ordered if not draft.is_protected(one)][: len(own) - wanted]


def _stabilise(draft: Draft, task_set: TaskSet, status: str) -> None:
    if status != task_set.stability_status:
        task_set = replace(task_set, stability_status=status, stability_status_at=draft.now)
        if status == STEADY:
            draft.tell(events.STEADY, task_set=task_set.id)
    if task_set not in draft.view.task_sets:
        draft.put(task_set)


def _as_deployment(task_set: TaskSet, wanted: int) -> Deployment:
    """Return what a task set's tasks are made from, in the form that new tasks are made from."""
    return Deployment(
        id=task_set.id,
        status=DeploymentStatus.ACTIVE,
        definition_arn=task_set.definition_arn,
        desired_count=wanted,
        created_at=task_set.created_at,
        updated_at=task_set.updated_at,
        launch_type=task_set.launch_type,
        capacity_provider_strategy=task_set.capacity_provider_strategy,
        platform_version=task_set.platform_version,
        network=task_set.network,
        load_balancers=task_set.load_balancers,
    )
