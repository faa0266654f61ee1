"""A service's history: AWS's words, newest first, a hundred lines."""

import re

import pytest
from ecs_lab import NOW, FakeIds
from service_lab import ServiceLab

from kecs.controlplane import events

TASK = "0123456789abcdef0123456789abcdef"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef"


def test_a_message_names_a_hundred_tasks_at_most() -> None:
    tasks = [f"{number:032x}" for number in range(250)]
    groups = list(events.groups(tasks))
    assert [len(group) for group in groups] == [100, 100, 50]
    assert [one for group in groups for one in group] == tasks
    assert list(events.groups([])) == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (events.started([TASK, TASK]), f"has started 2 tasks: (task {TASK}) (task {TASK})."),
        (events.stopped([TASK]), f"has stopped 1 running tasks: (task {TASK})."),
        (events.registered(1, GROUP), f"registered 1 targets in (target-group {GROUP})"),
        (events.draining(1), "has begun draining connections on 1 tasks."),
        (events.deregistered(1, GROUP), f"deregistered 1 targets in (target-group {GROUP})"),
        (events.failed_health_checks(TASK), f"(task {TASK}) failed container health checks."),
        (
            events.unhealthy_target(80, GROUP, "Health checks failed with these codes: [404]"),
            (
                f"(port 80) is unhealthy in (target-group {GROUP}) due to "
                "(reason Health checks failed with these codes: [404])"
            ),
        ),
        (events.completed("ecs-svc/1"), "(deployment ecs-svc/1) deployment completed."),
        (events.failed("ecs-svc/1"), "(deployment ecs-svc/1) deployment failed: tasks failed to start."),
        (events.rolling_back("ecs-svc/1"), "rolling back to deployment ecs-svc/1."),
        (events.STEADY, "has reached a steady state."),
        (events.IMPAIRED, "is unable to consistently start tasks successfully."),
    ],
)
def test_messages_are_awss(said: str, message: str) -> None:
    assert said == message


def test_the_newest_hundred_are_kept_and_each_has_an_id() -> None:
    lab = ServiceLab()
    lab.create()
    service, ids = lab.service(), FakeIds()
    for index in range(120):
        service = events.told(service, f"line {index}", now=NOW, ids=ids)
    assert len(service.events) == events.KEPT
    assert service.events[0].message == "(service web) line 119"
    assert service.events[-1].message == "(service web) line 20"
    assert len({one.id for one in service.events}) == events.KEPT
    both = events.told(service, "first", "second", now=NOW, ids=ids)
    assert [one.message for one in both.events[:2]] == ["(service web) second", "(service web) first"]


def test_events_are_described_newest_first_with_their_times() -> None:
    lab = ServiceLab()
    lab.create()
    lab.steady()
    found = lab.described()["events"]
    assert [one["createdAt"] for one in found] == sorted((one["createdAt"] for one in found), reverse=True)
    assert all(re.fullmatch(r"[0-9a-f-]{36}", one["id"]) for one in found)


def test_steadiness_is_told_once_for_each_time_it_is_reached() -> None:
    lab = ServiceLab()
    lab.create()
    steady = "(service web) has reached a steady state."
    for times in (1, 2, 3):
        lab.steady()
        assert lab.events().count(steady) == times
        lab.turn()
        assert lab.events().count(steady) == times
        lab.update(forceNewDeployment=True)
