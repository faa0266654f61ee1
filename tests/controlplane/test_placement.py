"""Which machines tasks are placed on, and why not on others."""

from typing import Any

import pytest
from ecs_lab import EcsLab
from tasks_lab import STEM, machines, node, register, run_task, tasks_api

type Json = dict[str, Any]


@pytest.fixture
def lab() -> EcsLab:
    return tasks_api()


def test_a_cluster_without_machines_has_no_place(lab: EcsLab) -> None:
    found = lab.refused("RunTask", {"taskDefinition": "job"})
    assert (found.code, found.message) == (
        "InvalidParameterException",
        "No Container Instances were found in your cluster.",
    )


def test_machines_are_filled_and_then_it_is_told_why_not(lab: EcsLab) -> None:
    one, two = machines(lab, node("a"), node("b", memory=300))
    answer = lab.call("RunTask", {"taskDefinition": "job", "count": 4})
    assert sorted(task["containerInstanceArn"] for task in answer["tasks"]) == sorted([one, one, two])
    assert answer["failures"] == [
        {"arn": one, "reason": "RESOURCE:CPU"},
        {"arn": two, "reason": "RESOURCE:MEMORY"},
    ]
    assert {task["availabilityZone"] for task in answer["tasks"]} == {"us-east-1a"}
    again = lab.call("RunTask", {"taskDefinition": "job"})
    assert again["tasks"] == []
    assert len(again["failures"]) == 2


def test_a_port_of_a_machine_is_taken_once(lab: EcsLab) -> None:
    register(
        lab,
        "port",
        {"name": "app", "image": "x", "memory": 64, "portMappings": [{"containerPort": 80, "hostPort": 8080}]},
    )
    [only] = machines(lab, node("a", cpu=4096))
    answer = lab.call("RunTask", {"taskDefinition": "port", "count": 2})
    assert len(answer["tasks"]) == 1
    assert answer["failures"] == [{"arn": only, "reason": "RESOURCE:PORTS"}]


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        pytest.param({}, ["a", "b", "c", "a"], id="nothing said: spread over machines"),
        pytest.param(
            {"placementStrategy": [{"type": "binpack", "field": "cpu"}]}, ["c", "c", "a", "a"], id="packed by cpu"
        ),
        pytest.param(
            {"placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}]},
            ["a", "c", "b", "c"],
            id="spread over zones",
        ),
        pytest.param(
            {"placementStrategy": [{"type": "binpack", "field": "memory"}]}, ["a", "a", "a", "a"], id="packed by memory"
        ),
        pytest.param({"placementStrategy": [{"type": "random"}]}, ["a", "b", "c", "a"], id="any: the emptiest"),
        pytest.param({"placementConstraints": [{"type": "distinctInstance"}]}, ["a", "b", "c", None], id="distinct"),
        pytest.param(
            {
                "placementConstraints": [
                    {"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1b"}
                ]
            },
            ["c", "c", None],
            id="a member of a zone",
        ),
    ],
)
def test_where_tasks_are_placed(lab: EcsLab, placement: Json, expected: list[str | None]) -> None:
    zone_b = {"ecs.availability-zone": "us-east-1b"}
    arns = machines(lab, node("a", cpu=2048), node("b", cpu=2048), node("c", attributes=zone_b))
    names = dict(zip(arns, "abc", strict=True))
    found: list[str | None] = []
    for _ in expected:
        answer = lab.call("RunTask", {"taskDefinition": "job", "group": "g", **placement})
        found += [names[task["containerInstanceArn"]] for task in answer["tasks"]] or [None]
    assert found == expected


def test_only_what_was_asked_for_is_pinned_to_its_machine(lab: EcsLab) -> None:
    machines(lab, node("a"))
    run_task(lab, "job")
    run_task(lab, "job", placementConstraints=[{"type": "distinctInstance"}], group="other")
    assert [one.node for one in lab.state.tasks_of_cluster(f"{STEM}:cluster/default")] == ["", "a"]
