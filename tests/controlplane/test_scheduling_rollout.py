"""Rollouts of REPLICA services: playbooks read from top to bottom, and what must hold of every rollout."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_lab import ServiceLab, ids

from kecs.controlplane import scheduling_limits
from kecs.controlplane.records import Task
from kecs.controlplane.records.services import Rollout
from kecs.controlplane.records.tasks import Health, StopCode, TaskStatus
from kecs.controlplane.scheduling_draft import PRESENT
from kecs.controlplane.state import Changes

STEADY = "(service web) has reached a steady state."


def started(lab: ServiceLab) -> tuple[str, int]:
    """Create, and settle, a service of three; return its deployment and how long its history is."""
    lab.create(desired=3)
    lab.steady()
    assert lab.events()[0] == STEADY
    return lab.described()["deployments"][0]["id"], len(lab.events())


def counts(lab: ServiceLab, old: str) -> tuple[int, int, int]:
    """Return how many of the old deployment's tasks run on, how many of it are to stop, how many new ones there are."""
    mine = lab.tasks(deployment=old)
    stopping = sum(one.desired_status is TaskStatus.STOPPED for one in mine)
    return len(mine) - stopping, stopping, sum(one.deployment_id != old for one in lab.tasks())


@pytest.mark.parametrize(
    ("desired", "bounds", "steps"),
    [
        pytest.param(
            3, (100, 200), [(3, 0, 3), (3, 0, 3), (0, 3, 3), (0, 0, 3)], id="100 to 200: all beside, then over"
        ),
        pytest.param(
            4,
            (50, 100),
            [(2, 2, 0), (2, 0, 2), (2, 0, 2), (0, 2, 2), (0, 0, 4)],
            id="50 to 100: half after half, none beside",
        ),
        pytest.param(3, (0, 100), [(0, 3, 0), (0, 0, 3)], id="0 to 100: all away first"),
        pytest.param(
            3,
            (66, 133),
            [(2, 1, 0), (2, 0, 1), (2, 0, 1), (1, 1, 1), (1, 0, 2), (1, 0, 2), (0, 1, 2), (0, 0, 3)],
            id="66 to 133 of three: at least 2, at most 3, one by one",
        ),
        pytest.param(1, (100, 200), [(1, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 1)], id="one, 100 to 200: never none"),
        pytest.param(5, (50, 150), [(3, 2, 2), (3, 0, 4), (3, 0, 4), (0, 3, 4), (0, 0, 5)], id="five: odd counts"),
    ],
)
def test_a_rollout_goes_step_by_step(desired: int, bounds: tuple[int, int], steps: list[tuple[int, int, int]]) -> None:
    lab = ServiceLab()
    lab.create(desired=desired, bounds=bounds)
    lab.steady()
    old = lab.described()["deployments"][0]["id"]
    lab.update(forceNewDeployment=True)
    seen = []
    acts = (lab.turn, lab.end, lab.run, lab.settle)
    for index in range(60):
        before = counts(lab, old)
        acts[index % 4]()
        if counts(lab, old) != before or index == 0:
            seen.append(counts(lab, old))
        if counts(lab, old) == (0, 0, desired):
            break
    distinct = [one for index, one in enumerate(steps) if index == 0 or one != steps[index - 1]]
    assert seen == distinct
    lab.steady()
    [deployment] = lab.described()["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "COMPLETED")
    assert deployment["id"] != old


def test_a_rollout_as_its_history_and_its_deployments_tell_it() -> None:
    lab = ServiceLab()
    old, told = started(lab)
    before = lab.wanted()
    revision = lab.register("app", image="app:2")
    answer = lab.update(taskDefinition="app")
    assert [(one["status"], one["rolloutState"]) for one in answer["deployments"]] == [
        ("PRIMARY", "IN_PROGRESS"),
        ("ACTIVE", "COMPLETED"),
    ]
    new = answer["deployments"][0]["id"]
    assert answer["deployments"][0]["taskDefinition"] == answer["taskDefinition"] == revision
    assert answer["deployments"][0]["rolloutStateReason"] == f"ECS deployment {new} in progress."
    assert new != old
    lab.turn()
    fresh = lab.wanted(deployment=new)
    lab.run()
    assert len(lab.described()["deployments"]) == 2
    lab.settle()
    assert {one.stopped_reason for one in lab.tasks(deployment=old)} == {
        f"Scaling activity initiated by (deployment {old})"
    }
    assert {one.stop_code for one in lab.tasks(deployment=old)} == {StopCode.SERVICE_SCHEDULER_INITIATED}
    lab.end()
    [deployment] = lab.described()["deployments"]
    assert (deployment["id"], deployment["rolloutState"]) == (new, "COMPLETED")
    history = list(reversed(lab.events()))[told:]
    stopped = [one for one in before if f"(task {one.id})" in history[1]]
    assert sorted(one.id for one in stopped) == sorted(one.id for one in before)
    assert history == [
        f"(service web) has started 3 tasks: {ids(fresh)}.",
        history[1],
        f"(service web) (deployment {new}) deployment completed.",
        STEADY,
    ]
    assert history[1].startswith("(service web) has stopped 3 running tasks: (task ")


def test_desired_count_alone_makes_no_deployment() -> None:
    lab = ServiceLab()
    old, _ = started(lab)
    answer = lab.update(desiredCount=5)
    assert [one["id"] for one in answer["deployments"]] == [old]
    lab.turn()
    assert len(lab.wanted()) == 5
    lab.steady()
    lab.update(desiredCount=2)
    lab.turn()
    assert len(lab.wanted()) == 2
    lab.steady()
    assert lab.described()["deployments"][0]["desiredCount"] == 2
    assert lab.events()[0] == STEADY


def test_scaling_stops_the_unhealthy_before_the_healthy_and_the_new_before_the_old() -> None:
    lab = ServiceLab()
    started(lab)
    lab.update(desiredCount=4)
    lab.steady()
    newest = max(lab.wanted(), key=lambda one: one.created_at)
    sick = min(lab.wanted(), key=lambda one: one.arn)
    lab.update(desiredCount=3)
    lab.turn()
    assert newest not in lab.wanted()
    lab.put(replace(sick, health=Health.UNHEALTHY))
    lab.update(desiredCount=2)
    lab.turn()
    assert sick.arn not in {one.arn for one in lab.wanted()}
    assert len(lab.wanted()) == 2


def test_a_service_is_scaled_during_its_rollout() -> None:
    lab = ServiceLab()
    old, _ = started(lab)
    lab.update(forceNewDeployment=True)
    lab.turn()
    assert counts(lab, old) == (3, 0, 3)
    lab.update(desiredCount=5)
    lab.turn()
    assert counts(lab, old) == (3, 0, 5)
    lab.run()
    lab.update(desiredCount=1)
    lab.turn()
    assert len(lab.wanted(deployment=old)) == 1, "what runs for sure is kept until one of the new ones does"
    lab.steady()
    assert len(lab.wanted()) == 1
    assert lab.described()["deployments"][0]["rolloutState"] == "COMPLETED"


def test_an_update_during_a_rollout_makes_a_third_deployment_and_only_one_is_left() -> None:
    lab = ServiceLab()
    first, _ = started(lab)
    second = lab.update(forceNewDeployment=True)["deployments"][0]["id"]
    lab.turn()
    lab.run()
    third = lab.update(forceNewDeployment=True)["deployments"][0]["id"]
    lab.turn()
    found = [(one["id"], one["status"], one["rolloutState"]) for one in lab.described()["deployments"]]
    assert found == [
        (third, "PRIMARY", "IN_PROGRESS"),
        (second, "ACTIVE", "IN_PROGRESS"),
        (first, "ACTIVE", "COMPLETED"),
    ]
    assert len({first, second, third}) == 3
    assert not lab.wanted(deployment=first), "the oldest deployment's tasks go first"
    assert len(lab.wanted(deployment=second)) == 3
    lab.steady()
    assert [one["id"] for one in lab.described()["deployments"]] == [third]


def test_protected_tasks_are_stopped_by_no_scaling_and_no_rollout() -> None:
    lab = ServiceLab()
    old, _ = started(lab)
    kept = replace(lab.wanted()[0], protected=True, protected_until=lab.api.now + timedelta(hours=2))
    lab.put(kept)
    lab.update(desiredCount=0)
    lab.steady()
    assert [one.arn for one in lab.wanted()] == [kept.arn]
    lab.update(forceNewDeployment=True, desiredCount=1)
    lab.steady()
    assert len(lab.described()["deployments"]) == 2
    assert lab.described()["runningCount"] == 2
    lab.api.later(hours=2)
    lab.steady()
    assert len(lab.described()["deployments"]) == 1
    assert not lab.wanted(deployment=old)


def test_a_protected_task_that_stops_by_itself_is_replaced() -> None:
    lab = ServiceLab()
    started(lab)
    lab.put(*(replace(one, protected=True) for one in lab.wanted()))
    lab.fail(lab.wanted()[0], code=StopCode.ESSENTIAL_CONTAINER_EXITED)
    lab.settle()
    assert len(lab.wanted()) == 3


def test_percentages_that_leave_nothing_to_do_are_told_once_in_six_hours() -> None:
    lab = ServiceLab()
    lab.create(desired=1, bounds=(50, 150))
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    assert lab.events()[0] == (
        "(service web) was unable to stop or start tasks during a deployment because of the service deployment "
        "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
    told = len(lab.events())
    lab.api.later(hours=5, minutes=59)
    lab.turn()
    assert len(lab.events()) == told
    lab.api.later(minutes=1)
    lab.turn()
    assert len(lab.events()) == told + 1


def test_a_steady_state_is_told_again_after_six_hours() -> None:
    lab = ServiceLab()
    started(lab)
    lab.api.later(hours=5)
    lab.turn()
    assert lab.events().count(STEADY) == 1
    lab.api.later(hours=1)
    lab.turn()
    assert lab.events().count(STEADY) == 2


@dataclass(frozen=True)
class Judge:
    """Looks at each decision: what there is before it, and after."""

    bounds: tuple[int, int]

    @property
    def configuration(self) -> dict[str, int]:
        return {"minimumHealthyPercent": self.bounds[0], "maximumPercent": self.bounds[1]}

    def __call__(self, lab: ServiceLab, changes: Changes) -> None:
        wanted = lab.service().desired_count
        known = {one.arn for one in lab.tasks()}
        tasks = [one for one in changes.put if isinstance(one, Task)]
        made = [one for one in tasks if one.arn not in known and one.last_status is not TaskStatus.STOPPED]
        present = [one for one in lab.tasks() if one.last_status in PRESENT]
        assert not made or len(present) + len(made) <= scheduling_limits.most(wanted, self.configuration)
        primary = lab.service().deployments[0].id
        sure = {one.arn for one in lab.wanted() if is_sure(lab, one, primary)}
        stopped = {one.arn for one in tasks if one.desired_status is TaskStatus.STOPPED} & sure
        assert not stopped or len(sure - stopped) >= scheduling_limits.least(wanted, self.configuration)


def is_sure(lab: ServiceLab, task: Task, primary: str) -> bool:
    if task.last_status is not TaskStatus.RUNNING or task.started_at is None:
        return False
    return task.deployment_id != primary or task.started_at + scheduling_limits.SETTLED_AFTER <= lab.api.now


@settings(max_examples=100)
@given(
    desired=st.integers(0, 9),
    least=st.integers(0, 100),
    most=st.integers(101, 300),
    choices=st.lists(st.sampled_from(["run one", "run", "end one", "end", "settle", "force", "fail one"]), max_size=40),
)
def test_no_rollout_leaves_its_bounds_and_every_one_ends_when_tasks_behave(
    desired: int, least: int, most: int, choices: list[str]
) -> None:
    lab = ServiceLab()
    lab.create(desired=desired, bounds=(least, most))
    lab.steady()
    judge = Judge(bounds=(least, most))
    lab.judge = judge
    lab.update(forceNewDeployment=True)
    for choice in choices:
        act(lab, choice)
    stuck = scheduling_limits.least(desired, judge.configuration) >= scheduling_limits.most(
        desired, judge.configuration
    )
    if stuck and desired:
        return
    lab.steady()
    lab.api.later(minutes=30)
    lab.steady()
    [deployment] = lab.service().deployments
    assert deployment.rollout is Rollout.COMPLETED
    assert lab.described()["runningCount"] == desired


def act(lab: ServiceLab, choice: str) -> None:
    starting = [one for one in lab.wanted() if one.last_status is not TaskStatus.RUNNING]
    stopping = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    match choice:
        case "run one" if starting:
            lab.run(starting[0])
        case "run":
            lab.run()
        case "end one" if stopping:
            lab.put(lab.ended(stopping[0]))
            lab.turn()
        case "end":
            lab.end()
        case "settle":
            lab.settle()
        case "force":
            lab.update(forceNewDeployment=True)
            lab.turn()
        case "fail one" if starting:
            lab.fail(starting[0])
        case _:
            lab.turn()
