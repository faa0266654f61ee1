"""Which machines tasks are placed on, and why not on others."""

from typing import Any

import pytest
from ecs_lab import EcsLab
from tasks_lab import STEM, machines, node, register, run_task, tasks_api

from kecs.controlplane.records import Task

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
        pytest.param(
            {"placementStrategy": [{"type": "binpack", "field": "MEMORY"}]},
            ["a", "a", "a", "a"],
            id="as the CDK says it",
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


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "binpack", "field": "disk"}, "of type binpack must be cpu or memory, not 'disk'."),
        ({"type": "binpack"}, "of type binpack must be cpu or memory, not nothing."),
        ({"type": "spread", "field": "cpu"}, "of type spread must be instanceId, host or attribute:NAME, not 'cpu'."),
        ({"type": "spread", "field": "attribute:"}, "must be instanceId, host or attribute:NAME, not 'attribute:'."),
        ({"type": "spread"}, "of type spread must be instanceId, host or attribute:NAME, not nothing."),
        ({"field": "cpu"}, "PlacementStrategy.type should not be null or empty."),
    ],
)
def test_strategies_that_are_refused(lab: EcsLab, said: Json, message: str) -> None:
    machines(lab, node("a"))
    refused = lab.refused("RunTask", {"taskDefinition": "job", "placementStrategy": [{"type": "random"}, said]})
    assert refused.code == "InvalidParameterException"
    assert refused.message.endswith(message)
    assert list(lab.state.every(Task)) == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "memberOf"}, "A placement constraint of type memberOf must have an expression."),
        ({"type": "memberOf", "expression": "colour == red"}, "Invalid query: colour == red"),
        ({"type": "memberOf", "expression": "attribute:x like y"}, "Invalid query: attribute:x like y"),
        (
            {"type": "memberOf", "expression": f"attribute:x == {'y' * 2000}"},
            "The expression of a placement constraint can have at most 2000 characters.",
        ),
        (
            {"type": "distinctInstance", "expression": "attribute:x"},
            "A placement constraint of type distinctInstance can't have an expression.",
        ),
        ({"expression": "attribute:x"}, "PlacementConstraint.type should not be null or empty."),
    ],
)
def test_constraints_that_are_refused(lab: EcsLab, said: Json, message: str) -> None:
    machines(lab, node("a"))
    refused = lab.refused("RunTask", {"taskDefinition": "job", "placementConstraints": [said]})
    assert (refused.code, refused.message) == ("InvalidParameterException", message)
    assert list(lab.state.every(Task)) == []


@pytest.mark.parametrize(
    "said",
    [
        {"type": "spread", "field": "HOST"},
        {"type": "spread", "field": "instanceId"},
        {"type": "spread", "field": "attribute:a.b"},
        {"type": "binpack", "field": "CPU"},
        {"type": "random", "field": "anything"},
    ],
)
def test_strategies_that_are_taken(lab: EcsLab, said: Json) -> None:
    machines(lab, node("a"))
    assert len(run_task(lab, "job", placementStrategy=[said])) == 1


def test_all_that_is_wrong_is_told(lab: EcsLab) -> None:
    said = {"placementConstraints": [{"type": "memberOf"}] * 2, "placementStrategy": [{"type": "spread"}]}
    assert lab.refused("RunTask", {"taskDefinition": "job", **said}).message == (
        "A placement constraint of type memberOf must have an expression. "
        "The field of a placement strategy of type spread must be instanceId, host or attribute:NAME, not nothing."
    )
