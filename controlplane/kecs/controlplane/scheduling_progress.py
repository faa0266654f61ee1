"""How far a service's deployments are: failures, the circuit breaker, rollbacks, completion, steadiness. Pure."""

from dataclasses import replace

from kecs.controlplane import events, service_rollouts
from kecs.controlplane import scheduling_limits as limits
from kecs.controlplane.records import ServiceDeployment, Task
from kecs.controlplane.records.services import DeploymentStatus, Rollout, Streak
from kecs.controlplane.records.tasks import StopCode, TaskStatus
from kecs.controlplane.scheduling_draft import Draft, Fitness

FAILURES = frozenset({StopCode.TASK_FAILED_TO_START, StopCode.ESSENTIAL_CONTAINER_EXITED})
"""Ends that are a task's own doing."""
UNHEALTHY = "Task failed "
"""How the scheduler's reasons begin where it stopped a task that is unhealthy."""
BREAKER = "ECS deployment circuit breaker"
TRIGGERED = "Service deployment rolled back because the circuit breaker threshold was exceeded."


def account(draft: Draft) -> None:
    """Count each task that ends once, in its deployment; what became healthy ends a streak."""
    for deployment in draft.service.deployments:
        ended = [one for one in unaccounted(draft) if one.deployment_id == deployment.id]
        failed = [one for one in ended if is_failure(one)]
        streak = told_streak(draft, deployment.id, deployment.streak, failed)
        is_watched = deployment.rollout is Rollout.IN_PROGRESS
        failures = deployment.failed_tasks + len(failed) if is_watched else deployment.failed_tasks
        if streak.newest_healthy_at != deployment.streak.newest_healthy_at and _resets(draft):
            failures = 0
        draft.change(deployment.id, streak=streak, failed_tasks=failures)
    say_when_impaired(draft, draft.primary.streak, draft.service.desired_count)
    for task in unaccounted(draft):
        draft.account(task)


def unaccounted(draft: Draft) -> list[Task]:
    """Return tasks that are to end, or have, and are not counted yet. They may be: their first reason stays."""
    return [one for one in draft.tasks if one.desired_status is TaskStatus.STOPPED and not one.accounted]


def is_failure(task: Task) -> bool:
    """Tell whether a task ended though nobody wanted it to."""
    if task.stop_code is StopCode.SERVICE_SCHEDULER_INITIATED:
        return task.stopped_reason.startswith(UNHEALTHY)
    return task.stop_code in FAILURES


def _resets(draft: Draft) -> bool:
    breaker = draft.service.deployment_configuration.get("deploymentCircuitBreaker") or {}
    return breaker.get("resetOnHealthyTask") is not False


def told_streak(draft: Draft, deployment_id: str, streak: Streak, failed: list[Task]) -> Streak:
    """Return a streak after what is healthy now, and what has failed since."""
    healthy = [one for one in draft.live if one.deployment_id == deployment_id]
    begun = [one.started_at for one in healthy if one.started_at and draft.fitness(one) is Fitness.HEALTHY]
    newest = max(begun, default=None)
    if newest is not None and (streak.newest_healthy_at is None or newest > streak.newest_healthy_at):
        streak = Streak(newest_healthy_at=newest)
    if not failed:
        return streak
    return replace(streak, failures=streak.failures + len(failed), failed_at=draft.now)


def is_paused(draft: Draft, streak: Streak, wanted: int) -> bool:
    """Tell whether no task may be started yet because others failed, and wake up when one may."""
    if streak.failed_at is None:
        return False
    until = streak.failed_at + limits.pause(streak.failures, wanted)
    if until <= draft.now:
        return False
    draft.wake(until)
    return True


def say_when_impaired(draft: Draft, streak: Streak, wanted: int) -> None:
    """Say that tasks can't be started, where those that ended never ran."""
    repeated = limits.rounds(streak.failures, wanted) >= limits.IMPAIRED_AFTER
    unstarted = [one for one in unaccounted(draft) if is_failure(one) and one.started_at is None]
    holds = repeated and (bool(unstarted) or events.IMPAIRED in draft.service.told_at)
    say_again(draft, events.IMPAIRED, holds=holds)


def say_again(draft: Draft, message: str, *, holds: bool) -> None:
    """Add a message while something holds: once, and again each six hours."""
    told = dict(draft.service.told_at)
    if not holds:
        told.pop(message, None)
    elif message not in told or told[message] + events.AGAIN <= draft.now:
        draft.tell(message)
        told[message] = draft.now
    if message in told:
        draft.wake(told[message] + events.AGAIN)
    if told != draft.service.told_at:
        draft.service = replace(draft.service, told_at=told)


def judge(draft: Draft) -> None:
    """End a rollout whose tasks fail too often: by the circuit breaker, and back to what completed last."""
    primary = draft.primary
    breaker = draft.service.deployment_configuration.get("deploymentCircuitBreaker") or {}
    if not breaker.get("enable") or primary.rollout is not Rollout.IN_PROGRESS:
        return
    threshold = limits.threshold(draft.service.desired_count, breaker)
    if primary.failed_tasks < threshold:
        return
    draft.change(primary.id, rollout=Rollout.FAILED, rollout_reason=f"{BREAKER}: tasks failed to start.")
    draft.tell(events.failed(primary.id))
    rollout = draft.found(ServiceDeployment, primary.service_deployment_arn)
    if rollout is None:
        return
    rollout = replace(rollout, failure_count=primary.failed_tasks, threshold=threshold)
    begun = None
    if breaker.get("rollback") and not primary.rollback:
        begun = service_rollouts.roll_back(
            draft.service,
            rollout,
            reason=TRIGGERED,
            message=BREAKER,
            find=draft.view.find,
            now=draft.now,
            ids=draft.ids,
        )
    if begun is None:
        ended = "ROLLBACK_FAILED" if primary.rollback else "STOPPED"
        draft.put(service_rollouts.closed(rollout, ended, TRIGGERED, now=draft.now))
        return
    draft.service = begun.service
    for record in begun.put:
        draft.put(record)
    draft.tell(events.rolling_back(draft.primary.id))


def say_when_unplaced(draft: Draft) -> None:
    """Say that there is no room for a task, and look again soon: room may come without a word to the service."""
    for message in draft.service.told_at:
        if events.is_unplaced(message) and message != draft.unplaced:
            say_again(draft, message, holds=False)
    if draft.unplaced:
        say_again(draft, draft.unplaced, holds=True)
        draft.wake(draft.now + limits.PLACED_AGAIN_AFTER)


def conclude(draft: Draft, wanted: int) -> None:
    """Let go of deployments that nothing is left of, and complete the primary one when it is alone and healthy."""
    counts = [one.deployment_id for one in draft.present]
    draft.service = replace(
        draft.service,
        deployments=(draft.primary, *(one for one in draft.service.deployments[1:] if one.id in counts)),
    )
    for one in draft.service.deployments[1:]:
        left = sum(task.deployment_id == one.id for task in draft.live)
        draft.change(one.id, desired_count=left, status=DeploymentStatus.ACTIVE)
    draft.change(draft.primary.id, desired_count=wanted)
    healthy = all(draft.fitness(one) is Fitness.HEALTHY for one in draft.live)
    alone = all(one == draft.primary.id for one in counts)
    there = healthy and alone and len(counts) == len(draft.live) == wanted
    if there and draft.primary.rollout is Rollout.IN_PROGRESS:
        _complete(draft)
    is_done = draft.primary.rollout is Rollout.COMPLETED
    say_again(draft, events.STEADY, holds=there and is_done)


def _complete(draft: Draft) -> None:
    primary = draft.primary
    reason = f"ECS deployment {primary.id} completed."
    draft.change(primary.id, rollout=Rollout.COMPLETED, rollout_reason=reason, failed_tasks=0)
    draft.service = replace(
        draft.service, completed_deployment_id=primary.id, completed_revision_arn=primary.revision_arn
    )
    draft.tell(events.completed(primary.id))
    rollout = draft.found(ServiceDeployment, primary.service_deployment_arn)
    if rollout is not None and rollout.status in service_rollouts.OPEN:
        status = "ROLLBACK_SUCCESSFUL" if primary.rollback else "SUCCESSFUL"
        draft.put(service_rollouts.closed(rollout, status, rollout.status_reason, now=draft.now))
