"""Services whose tasks fail: the circuit breaker, rollbacks, pauses, health."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from service_lab import NETWORK, ServiceLab, ids

from kecs.controlplane import scheduling_limits
from kecs.controlplane.records.tasks import Health, StopCode, TaskStatus

IMPAIRED = "(service web) is unable to consistently start tasks successfully."
BREAKER: dict[str, Any] = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
STALLED: dict[str, Any] = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
CHECK: dict[str, Any] = {"healthCheck": {"command": ["CMD", "true"]}}


def fail_until_rolled_back(lab: ServiceLab) -> int:
    """Let all starting tasks fail until another deployment is the primary one; return how many failed."""
    failed, primary = 0, lab.described()["deployments"][0]["id"]
    for _ in range(60):
        starting = [one for one in lab.wanted() if one.last_status is not TaskStatus.RUNNING]
        failed += len(starting)
        lab.fail(*starting)
        if lab.described()["deployments"][0]["id"] != primary:
            return failed
        lab.settle(seconds=600)
    raise AssertionError("nothing is rolled back")


@pytest.mark.parametrize(
    ("desired", "breaker", "threshold"),
    [
        pytest.param(1, {}, 3, id="one: never below 3"),
        pytest.param(25, {}, 13, id="25: half of them, rounded up"),
        pytest.param(400, {}, 200, id="400: half of them"),
        pytest.param(800, {}, 200, id="800: never above 200"),
        pytest.param(0, {"thresholdConfiguration": {"type": "COUNT", "value": 7}}, 7, id="a count is what it says"),
        pytest.param(
            10, {"thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 100}}, 10, id="a bounded percentage"
        ),
        pytest.param(
            4, {"thresholdConfiguration": {"type": "UNBOUNDED_PERCENT", "value": 25}}, 1, id="an unbounded percentage"
        ),
        pytest.param(
            1000, {"thresholdConfiguration": {"type": "UNBOUNDED_PERCENT", "value": 50}}, 500, id="above 200, unbounded"
        ),
        pytest.param(0, {"thresholdConfiguration": {"type": "UNBOUNDED_PERCENT", "value": 50}}, 1, id="one is needed"),
    ],
)
def test_the_threshold_of_the_circuit_breaker(desired: int, breaker: dict[str, Any], threshold: int) -> None:
    assert scheduling_limits.threshold(desired, breaker) == threshold


def test_a_bad_image_trips_the_breaker_and_the_service_rolls_back() -> None:
    lab = ServiceLab()
    lab.create(desired=2, deploymentConfiguration=BREAKER)
    lab.steady()
    good = lab.described()["deployments"][0]
    lab.register("app", image="no-such-image")
    bad = lab.update(taskDefinition="app")["deployments"][0]
    lab.turn()
    told = len(lab.events())
    assert fail_until_rolled_back(lab) == 4, "two, and two again: the threshold is three"
    [back, kept] = lab.described()["deployments"]
    assert back["id"] not in {good["id"], bad["id"]}
    assert (back["status"], back["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert back["rolloutStateReason"] == (f"ECS deployment circuit breaker: rolling back to deploymentId {good['id']}.")
    assert back["taskDefinition"] == good["taskDefinition"] == lab.described()["taskDefinition"]
    assert (kept["id"], kept["rolloutState"]) == (good["id"], "COMPLETED"), "nothing is left of the failed one"
    history = list(reversed(lab.events()))[told:]
    assert f"(service web) (deployment {bad['id']}) deployment failed: tasks failed to start." in history
    assert f"(service web) rolling back to deployment {back['id']}." in history
    assert lab.described()["runningCount"] == 2, "what ran runs on"
    lab.steady()
    [deployment] = lab.described()["deployments"]
    assert (deployment["id"], deployment["rolloutState"]) == (back["id"], "COMPLETED")
    [rollout, first] = [
        lab.api.call("DescribeServiceDeployments", {"serviceDeploymentArns": [one["serviceDeploymentArn"]]})[
            "serviceDeployments"
        ][0]
        for one in lab.api.call("ListServiceDeployments", {"service": "web"})["serviceDeployments"]
    ]
    assert rollout["status"] == "ROLLBACK_SUCCESSFUL"
    assert rollout["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 4, "threshold": 3}
    assert rollout["rollback"]["serviceRevisionArn"] == first["targetServiceRevision"]["arn"]
    assert first["status"] == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [("1.3.0", "1.4.0", "1.3.0"), ("LATEST", "1.3.0", "1.4.0"), ("LATEST", None, "LATEST")],
)
def test_a_rollback_brings_the_platform_version_back(first: str, second: str | None, after: str) -> None:
    lab = ServiceLab()
    for _ in range(2):
        definition: dict[str, Any] = {"family": "f", "containerDefinitions": [{"name": "app", "image": "app:1"}]}
        definition |= {"cpu": "256", "memory": "512", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}
        lab.api.call("RegisterTaskDefinition", definition)
    fargate: dict[str, Any] = {"launchType": "FARGATE", "networkConfiguration": NETWORK, "taskDefinition": "f:1"}
    lab.create(**fargate, platformVersion=first, deploymentConfiguration=BREAKER)
    lab.steady()
    lab.update(taskDefinition="f:2", **({"platformVersion": second} if second else {}))
    lab.turn()
    fail_until_rolled_back(lab)
    found = lab.described()
    assert (found["taskDefinition"][-3:], found["platformVersion"]) == ("f:1", after)
    assert found["deployments"][0]["platformVersion"] == ("1.4.0" if after == "LATEST" else after)


def test_a_failed_deployment_with_tasks_is_there_as_failed_until_they_are_gone() -> None:
    lab = ServiceLab()
    lab.create(desired=2, deploymentConfiguration=BREAKER)
    lab.steady()
    lab.register("app", image="half-broken")
    bad = lab.update(taskDefinition="app")["deployments"][0]["id"]
    lab.turn()
    for _ in range(3):
        lab.fail(lab.wanted(deployment=bad)[0])
        lab.settle(seconds=600)
    states = {one["id"]: one["rolloutState"] for one in lab.described()["deployments"]}
    assert states[bad] == "FAILED"
    reasons = {one["id"]: one["rolloutStateReason"] for one in lab.described()["deployments"]}
    assert reasons[bad] == "ECS deployment circuit breaker: tasks failed to start."
    assert not lab.wanted(deployment=bad), "a failed deployment's tasks go before all others"
    lab.steady()
    assert bad not in {one["id"] for one in lab.described()["deployments"]}


def test_without_rollback_a_tripped_breaker_starts_nothing_more() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=STALLED)
    lab.turn()
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=600)
    [deployment] = lab.described()["deployments"]
    assert (deployment["rolloutState"], deployment["failedTasks"]) == ("FAILED", 3)
    lab.settle(seconds=100_000)
    assert not lab.wanted()
    [rollout] = lab.api.call("ListServiceDeployments", {"service": "web"})["serviceDeployments"]
    assert rollout["status"] == "STOPPED"
    lab.update(forceNewDeployment=True)
    lab.steady()
    assert lab.described()["deployments"][0]["rolloutState"] == "COMPLETED"


def test_a_rollback_that_fails_too_is_not_rolled_back_again() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=BREAKER)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    fail_until_rolled_back(lab)
    back = lab.described()["deployments"][0]["id"]
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["id"] == back
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
    rollouts = lab.api.call("ListServiceDeployments", {"service": "web"})["serviceDeployments"]
    assert [one["status"] for one in rollouts] == ["ROLLBACK_FAILED", "SUCCESSFUL"]


def test_while_a_rollback_goes_on_there_is_nothing_to_roll_back_to() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=BREAKER)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    fail_until_rolled_back(lab)
    third = lab.update(forceNewDeployment=True)["deployments"][0]["id"]
    lab.turn()
    lab.end()
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["id"] == third
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"


@pytest.mark.parametrize(("resets", "left"), [(True, 1), (False, 3)])
def test_a_healthy_task_sets_failures_back_unless_they_are_to_add_up(resets: bool, left: int) -> None:  # noqa: FBT001 - a table
    lab = ServiceLab()
    breaker: dict[str, Any] = {"enable": True, "rollback": False, "resetOnHealthyTask": resets}
    breaker |= {"thresholdConfiguration": {"type": "COUNT", "value": 100}}
    lab.create(desired=3, deploymentConfiguration={"deploymentCircuitBreaker": breaker})
    lab.turn()
    lab.fail(*lab.wanted()[:2])
    assert lab.described()["deployments"][0]["failedTasks"] == 2
    lab.run(lab.wanted()[0])
    lab.settle()
    lab.fail(next(one for one in lab.wanted() if one.last_status is not TaskStatus.RUNNING))
    assert lab.described()["deployments"][0]["failedTasks"] == left


def test_a_task_that_ends_right_after_it_ran_is_a_failure() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=STALLED)
    lab.turn()
    for _ in range(3):
        lab.run()
        lab.fail(*lab.wanted(), code=StopCode.ESSENTIAL_CONTAINER_EXITED)
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
    assert IMPAIRED not in lab.events(), "they did start"


def test_a_completed_deployment_counts_no_failures_and_replaces_what_ends() -> None:
    lab = ServiceLab()
    lab.create(desired=2, deploymentConfiguration=BREAKER)
    lab.steady()
    for _ in range(5):
        lab.fail(lab.wanted()[0], code=StopCode.ESSENTIAL_CONTAINER_EXITED)
        lab.steady()
        assert lab.described()["runningCount"] == 2
    [deployment] = lab.described()["deployments"]
    assert (deployment["rolloutState"], deployment["failedTasks"]) == ("COMPLETED", 0)


def test_tasks_that_fail_again_and_again_are_started_ever_less_often() -> None:
    lab = ServiceLab()
    lab.create(desired=1)
    lab.turn()
    waited = []
    for _ in range(14):
        lab.fail()
        began = lab.api.now
        while not lab.wanted():
            assert lab.due is not None
            lab.api.now = lab.due
            lab.turn()
        waited.append((lab.api.now - began).total_seconds())
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1620, 1620, 1620]
    assert lab.events().count(IMPAIRED) == 1, "once while it lasts"
    lab.run()
    lab.settle()
    lab.fail(*lab.wanted(), code=StopCode.ESSENTIAL_CONTAINER_EXITED)
    lab.settle(seconds=1)
    assert lab.wanted(), "one that was healthy ends it"


def test_a_failure_counts_as_soon_as_the_task_is_to_end() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=STALLED)
    lab.turn()
    for failures in (1, 2, 3):
        [task] = lab.wanted()
        code = StopCode.TASK_FAILED_TO_START
        ending: dict[str, Any] = {"desired_status": TaskStatus.STOPPED, "last_status": TaskStatus.STOPPING}
        lab.put(replace(task, stop_code=code, **ending))
        lab.turn()
        assert lab.described()["deployments"][0]["failedTasks"] == failures
        assert lab.wanted() == [], "nothing is started at once in its place"
        lab.end()
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["failedTasks"] == 3
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
    assert lab.wanted() == []


def test_a_new_deployment_is_not_slowed_down_by_the_old_one() -> None:
    lab = ServiceLab()
    lab.create(desired=1)
    lab.turn()
    for _ in range(8):
        lab.fail()
        lab.settle(seconds=1000)
    lab.fail()
    assert not lab.wanted()
    lab.register("app", image="app:3")
    lab.update(taskDefinition="app")
    lab.turn()
    assert len(lab.wanted()) == 1


def test_the_pause_is_counted_in_rounds_of_all_tasks() -> None:
    assert scheduling_limits.pause(9, 10) == timedelta()
    assert scheduling_limits.pause(10, 10) == timedelta(seconds=1)
    assert scheduling_limits.pause(10**6, 1) == timedelta(minutes=27)


def test_an_unhealthy_task_is_replaced_first_and_stopped_then() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=2)
    lab.turn()
    lab.run(health=Health.HEALTHY)
    lab.settle()
    sick, well = lab.wanted()
    lab.put(lab.with_health(sick, Health.UNHEALTHY))
    lab.turn()
    assert len(lab.wanted()) == 3
    lab.run(health=Health.HEALTHY)
    [stopped] = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    assert stopped.arn == sick.arn
    assert stopped.stop_code is StopCode.SERVICE_SCHEDULER_INITIATED
    assert stopped.stopped_reason == "Task failed container health checks"
    assert well.arn in {one.arn for one in lab.wanted()}
    assert f"(service web) (task {sick.id}) failed container health checks." in lab.events()
    assert f"(service web) has stopped 1 running tasks: {ids([sick])}." in lab.events()


def test_protection_does_not_keep_an_unhealthy_task() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=1)
    lab.turn()
    lab.run(health=Health.HEALTHY)
    [sick] = lab.wanted()
    lab.put(replace(sick, health=Health.UNHEALTHY, protected=True))
    lab.turn()
    lab.run(health=Health.HEALTHY)
    assert [one.arn for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED] == [sick.arn]


def test_what_a_person_stops_is_no_failure_whatever_is_said_of_it() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration=STALLED)
    lab.turn()
    for _ in range(5):
        lab.run()
        task = lab.wanted()[0].arn
        lab.api.call("StopTask", {"task": task, "reason": "Task failed in my eyes"})
        lab.turn()
        lab.end()
        assert len(lab.wanted()) == 1, "it is replaced at once"
    assert lab.described()["deployments"][0]["failedTasks"] == 0


def test_without_room_beside_it_an_unhealthy_task_is_stopped_first() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=2, bounds=(50, 100))
    lab.turn()
    lab.run(health=Health.HEALTHY)
    lab.settle()
    lab.put(*(lab.with_health(one, Health.UNHEALTHY) for one in lab.wanted()))
    lab.turn()
    assert len(lab.wanted()) == 1, "one by one"
    lab.end()
    assert len(lab.wanted()) == 2


def test_in_the_grace_period_health_is_not_looked_at() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=1, healthCheckGracePeriodSeconds=60)
    lab.turn()
    lab.run(health=Health.UNHEALTHY)
    lab.settle(seconds=59)
    assert len(lab.wanted()) == 1
    assert lab.described()["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    lab.settle(seconds=1)
    assert len(lab.wanted()) == 2, "its replacement is there"


def test_a_rollout_waits_for_health_where_there_is_a_check() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=1)
    lab.turn()
    lab.run(health=Health.UNKNOWN)
    lab.settle(seconds=1000)
    assert lab.described()["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    lab.put(*(lab.with_health(one, Health.HEALTHY) for one in lab.wanted()))
    lab.turn()
    assert lab.described()["deployments"][0]["rolloutState"] == "COMPLETED"


def test_tasks_that_never_become_healthy_trip_the_breaker() -> None:
    lab = ServiceLab()
    lab.register("app", **CHECK)
    lab.create(desired=1, deploymentConfiguration=STALLED)
    lab.turn()
    for _ in range(12):
        lab.run(health=Health.UNHEALTHY)
        lab.end()
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
