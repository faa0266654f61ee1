"""Tasks described and listed, and commands in them."""

from typing import Any

import pytest
from ecs_lab import SCOPE, EcsLab
from tasks_lab import STEM, machines, node, run_task, tasks_api

from kecs.controlplane.state import Scope

type Json = dict[str, Any]


@pytest.fixture
def lab() -> EcsLab:
    return tasks_api()


def test_a_task_that_there_is_not(lab: EcsLab) -> None:
    found = lab.refused("StopTask", {"task": "0" * 32})
    assert (found.code, found.message) == ("InvalidParameterException", "The referenced task was not found.")
    told = lab.call("DescribeTasks", {"tasks": ["0" * 32]})
    assert told == {"tasks": [], "failures": [{"arn": f"{STEM}:task/default/{'0' * 32}", "reason": "MISSING"}]}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        pytest.param([], "Tasks cannot be empty.", id="none"),
        pytest.param(["a"] * 101, "Tasks cannot have more than 100 items.", id="too many"),
        pytest.param(
            [f"{STEM}:task/other/1"],
            "Invalid identifier: Identifier is for cluster other. Your cluster is default",
            id="another cluster's",
        ),
    ],
)
def test_tasks_that_can_t_be_described(lab: EcsLab, tasks: list[str], message: str) -> None:
    found = lab.refused("DescribeTasks", {"tasks": tasks})
    assert (found.code, found.message) == ("InvalidParameterException", message)


def test_a_task_is_described_once_by_its_id_and_its_arn(lab: EcsLab) -> None:
    [task] = run_task(lab)
    arn = task["taskArn"]
    told = lab.call("DescribeTasks", {"tasks": [arn, arn.rpartition("/")[2]]})
    assert [one["taskArn"] for one in told["tasks"]] == [arn]


def test_tasks_are_listed_by_what_is_said_of_them(lab: EcsLab) -> None:
    [instance] = machines(lab, node("a", cpu=4096))
    [web] = run_task(lab, startedBy="me")
    lab.later(seconds=1)
    [job] = run_task(lab, "job")
    lab.later(seconds=1)
    [stopped] = run_task(lab)
    lab.call("StopTask", {"task": stopped["taskArn"]})
    expected: list[tuple[Json, list[Json]]] = [
        ({}, [web, job]),
        ({"desiredStatus": "RUNNING"}, [web, job]),
        ({"desiredStatus": "STOPPED"}, [stopped]),
        ({"desiredStatus": "PENDING"}, []),
        ({"family": "job"}, [job]),
        ({"startedBy": "me"}, [web]),
        ({"launchType": "EC2"}, [job]),
        ({"launchType": "FARGATE", "desiredStatus": "STOPPED"}, [stopped]),
        ({"containerInstance": instance}, [job]),
        ({"containerInstance": instance, "family": "web"}, []),
    ]
    for params, tasks in expected:
        assert lab.call("ListTasks", params)["taskArns"] == [one["taskArn"] for one in tasks], params
    assert lab.refused("ListTasks", {"serviceName": "nope"}).code == "ServiceNotFoundException"
    assert lab.refused("ListTasks", {"cluster": "nope"}).code == "ClusterNotFoundException"
    assert lab.refused("ListTasks", {"containerInstance": "0" * 32}).code == "InvalidParameterException"


def test_a_listing_has_pages(lab: EcsLab) -> None:
    arns = [one["taskArn"] for _ in range(3) for one in run_task(lab, count=5)]
    found: list[str] = []
    token: Json = {}
    while True:
        told = lab.call("ListTasks", {"maxResults": 4, **token})
        found += told["taskArns"]
        if "nextToken" not in told:
            break
        token = {"nextToken": told["nextToken"]}
    assert sorted(found) == sorted(arns)
    assert len(found) == 15


DISABLED = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn’t running. Wait and try again or run a new task with execute command enabled and try again."  # noqa: RUF001 - AWS's own apostrophe
)


@pytest.mark.parametrize(
    ("enabled", "container", "code", "message"),
    [
        pytest.param(False, "app", "InvalidParameterException", DISABLED, id="not enabled"),
        pytest.param(
            True,
            "nope",
            "InvalidParameterException",
            "The container nope does not exist in the task.",
            id="no such container",
        ),
        pytest.param(
            True,
            None,
            "InvalidParameterException",
            "Container name must be specified for a task with more than one container.",
            id="which of them",
        ),
        pytest.param(
            True,
            "app",
            "TargetNotConnectedException",
            "The execute command failed due to an internal error. Try again later.",
            id="nothing to reach it by",
        ),
    ],
)
def test_a_command_in_a_container(
    lab: EcsLab, *, enabled: bool, container: str | None, code: str, message: str
) -> None:
    [task] = run_task(lab, enableExecuteCommand=enabled)
    params = {"task": task["taskArn"], "command": "sh", "interactive": True}
    found = lab.refused("ExecuteCommand", params | ({"container": container} if container else {}))
    assert (found.code, found.message) == (code, message)


def test_regions_do_not_meet(lab: EcsLab) -> None:
    [task] = run_task(lab)
    elsewhere = Scope(region="eu-west-1", account=SCOPE.account)
    lab.call("CreateCluster", {"clusterName": "default"}, scope=elsewhere)
    told = lab.call("DescribeTasks", {"tasks": [task["taskArn"].rpartition("/")[2]]}, scope=elsewhere)
    assert [one["reason"] for one in told["failures"]] == ["MISSING"]
    assert lab.call("ListTasks", {}, scope=elsewhere)["taskArns"] == []
