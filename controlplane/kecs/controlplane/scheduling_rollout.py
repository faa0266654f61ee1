"""A REPLICA service's tasks: as many of its primary deployment as are wanted, the others' drained. Pure."""

from collections.abc import Callable

from kecs.controlplane import events
from kecs.controlplane import scheduling_limits as limits
from kecs.controlplane import scheduling_progress as progress
from kecs.controlplane.records import Task
from kecs.controlplane.records.services import Rollout
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.scheduling_draft import PRESENT, Draft, Fitness


def roll(draft: Draft) -> None:
    """Bring a service's tasks one step nearer to what is wanted, within its percentages."""
    progress.account(draft)
    progress.judge(draft)
    _stop_not_needed(draft)
    _start_missing(draft)
    _stop_unhealthy_for_room(draft)
    progress.conclude(draft, draft.service.desired_count)
    _say_when_blocked(draft)
    progress.say_when_unplaced(draft)


def order_of(draft: Draft) -> Callable[[Task], tuple[bool, int, Fitness, float]]:
    """Return where a task stands among those that may be stopped, the first to go first.

    A failed deployment's before all others', then by deployment, the oldest's first; then the unfit; then the newest.
    """
    deployments = {
        one.id: (one.rollout is not Rollout.FAILED or index == 0, -index)
        for index, one in enumerate(draft.service.deployments)
    }
    nobodys = False, -len(deployments)

    def place(task: Task) -> tuple[bool, int, Fitness, float]:
        return *deployments.get(task.deployment_id, nobodys), draft.fitness(task), -task.created_at.timestamp()

    return place


def _stop_not_needed(draft: Draft) -> None:
    """Stop what is not needed, down to the minimum of healthy tasks."""
    live = [one for one in draft.live if one.last_status in PRESENT]
    healthy = sum(is_relied_on(draft, one) for one in live)
    budget = healthy - limits.least(draft.service.desired_count, draft.service.deployment_configuration)
    stopped: list[Task] = []
    for task in sorted(_not_needed(draft, live), key=order_of(draft)):
        if is_relied_on(draft, task):
            if budget <= 0:
                continue
            budget -= 1
        stopped.append(task)
    draft.stop(stopped)


def _not_needed(draft: Draft, live: list[Task]) -> list[Task]:
    """Return what may go: older deployments' tasks, and the primary one's beyond what is wanted.

    Its unhealthy tasks stay until others are healthy in their place; protection keeps them no longer. A deployment that
    failed takes nobody's place.
    """
    wanted = draft.service.desired_count
    free = [one for one in live if not draft.is_protected(one)]
    if draft.primary.rollout is Rollout.FAILED:
        return sorted(free, key=order_of(draft))[: max(len(live) - wanted, 0)]
    own = [one for one in live if one.deployment_id == draft.primary.id]
    fit = sum(draft.fitness(one) is not Fitness.UNHEALTHY for one in own)
    are_replaced = sum(draft.fitness(one) is Fitness.HEALTHY for one in own) >= wanted
    others = [one for one in free if one.deployment_id != draft.primary.id]
    surplus: list[Task] = []
    if fit > wanted:
        mine = [one for one in free if one.deployment_id == draft.primary.id]
        mine = [one for one in mine if draft.fitness(one) is not Fitness.UNHEALTHY]
        surplus = sorted(mine, key=order_of(draft))[: fit - wanted]
    unhealthy = [one for one in own if are_replaced and draft.fitness(one) is Fitness.UNHEALTHY]
    return [*others, *surplus, *unhealthy]


def is_relied_on(draft: Draft, task: Task) -> bool:
    """Tell whether a task counts towards the minimum.

    One of the primary deployment does when it is healthy. An older deployment's does as long as it runs and is not
    unhealthy, and one on a machine that is being drained as long as it runs: that may be all there is.
    """
    if draft.is_leaving(task):
        return task.last_status is TaskStatus.RUNNING
    fitness = draft.fitness(task)
    if task.deployment_id == draft.primary.id:
        return fitness is Fitness.HEALTHY
    return fitness >= Fitness.SETTLING


def _start_missing(draft: Draft) -> None:
    if draft.primary.rollout is Rollout.FAILED:
        return
    wanted = draft.service.desired_count
    own = [one for one in draft.live if one.deployment_id == draft.primary.id]
    missing = wanted - sum(draft.fitness(one) is not Fitness.UNHEALTHY for one in own)
    if missing <= 0 or progress.is_paused(draft, draft.primary.streak, wanted):
        return
    room = limits.most(wanted, draft.service.deployment_configuration) - len(draft.present)
    starting = sum(draft.fitness(one) is Fitness.STARTING for one in own)
    draft.start(draft.primary, max(min(missing, room, limits.STARTING - starting), 0))


def _stop_unhealthy_for_room(draft: Draft) -> None:
    """Stop one unhealthy task where its replacement has no room beside it: one by one, as AWS does."""
    most = limits.most(draft.service.desired_count, draft.service.deployment_configuration)
    if len(draft.present) < most or len(draft.present) != len(draft.live):
        return
    own = [one for one in draft.live if one.deployment_id == draft.primary.id]
    if any(draft.fitness(one) in {Fitness.STARTING, Fitness.SETTLING} for one in own):
        return
    serving = sum(is_relied_on(draft, one) for one in draft.live)
    spare = serving > limits.least(draft.service.desired_count, draft.service.deployment_configuration)
    unhealthy = [one for one in own if draft.fitness(one) is Fitness.UNHEALTHY]
    draft.stop([one for one in unhealthy if spare or not is_relied_on(draft, one)][:1])


def _say_when_blocked(draft: Draft) -> None:
    """Say that the percentages leave nothing to do, once while that lasts and again each six hours."""
    wanted = draft.service.desired_count
    own = [one for one in draft.live if one.deployment_id == draft.primary.id]
    room = limits.most(wanted, draft.service.deployment_configuration) - len(draft.present)
    is_waiting = (
        draft.primary.rollout is Rollout.FAILED
        or len(own) >= wanted
        or room > 0
        or len(draft.present) != len(draft.live)
        or any(draft.fitness(one) < Fitness.HEALTHY for one in own)
        or any(draft.is_protected(one) for one in draft.live)
    )
    progress.say_again(draft, events.BLOCKED, holds=not is_waiting)
