"""Tasks that are run, started and stopped, as their clients see them."""

from typing import Any

import pytest
from ecs_lab import NOW, EcsLab
from tasks_lab import FARGATE, NETWORK, STEM, machines, node, register, run_task, tasks_api

from kecs.controlplane.task_making import chosen_provider

type Json = dict[str, Any]


@pytest.fixture
def lab() -> EcsLab:
    return tasks_api()


def test_a_task_on_fargate_is_told_whole(lab: EcsLab) -> None:
    [task] = run_task(
        lab, startedBy="ECS Deploy", group="batch", enableExecuteCommand=True, tags=[{"key": "k", "value": "v"}]
    )
    arn, attachment = task["taskArn"], task["attachments"][0]
    assert arn.startswith(f"{STEM}:task/default/")
    containers = task.pop("containers")
    assert task == {
        "taskArn": arn,
        "clusterArn": f"{STEM}:cluster/default",
        "taskDefinitionArn": f"{STEM}:task-definition/web:1",
        "overrides": {
            "containerOverrides": [{"name": "app"}, {"name": "side"}],
            "inferenceAcceleratorOverrides": [],
        },
        "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING",
        "healthStatus": "UNKNOWN",
        "cpu": "256",
        "memory": "512",
        "startedBy": "ECS Deploy",
        "version": 1,
        "group": "batch",
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "attachments": [
            {
                "id": attachment["id"],
                "type": "ElasticNetworkInterface",
                "status": "PRECREATED",
                "details": [{"name": "subnetId", "value": "subnet-1"}],
            }
        ],
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "availabilityZone": task["availabilityZone"],
        "enableExecuteCommand": True,
        "inferenceAccelerators": [],
        "ephemeralStorage": {"sizeInGiB": 20},
        "fargateEphemeralStorage": {"sizeInGiB": 20},
        "tags": [{"key": "k", "value": "v"}],
        "createdAt": NOW,
    }
    assert [one["name"] for one in containers] == ["app", "side"]
    assert containers[0] == {
        "containerArn": containers[0]["containerArn"],
        "taskArn": arn,
        "name": "app",
        "image": "app:1",
        "lastStatus": "PENDING",
        "networkBindings": [],
        "networkInterfaces": [],
        "healthStatus": "UNKNOWN",
        "managedAgents": [{"name": "ExecuteCommandAgent", "lastStatus": "PENDING"}],
        "cpu": "0",
    }
    assert containers[0]["containerArn"].startswith(f"{STEM}:container/default/{arn.rpartition('/')[2]}/")


def test_as_many_run_as_were_asked_for(lab: EcsLab) -> None:
    tasks = run_task(lab, count=10)
    assert len({one["taskArn"] for one in tasks}) == 10
    assert {one["group"] for one in tasks} == {"family:web"}


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        pytest.param({"count": 11}, "InvalidParameterException", "count must be between 1 and 10: 11", id="too many"),
        pytest.param({"count": 0}, "InvalidParameterException", "count must be between 1 and 10: 0", id="none"),
        pytest.param({"cluster": "nope"}, "ClusterNotFoundException", "Cluster not found.", id="no cluster"),
        pytest.param({"taskDefinition": "nope"}, "ClientException", "TaskDefinition not found.", id="no definition"),
        pytest.param(
            {"networkConfiguration": None},
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            id="no network",
        ),
        pytest.param(
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
            "InvalidParameterException",
            "Specify either Launch Type or Capacity Provider Strategy, but not both.",
            id="a launch type and a strategy",
        ),
        pytest.param(
            {"overrides": {"containerOverrides": [{"name": "nope"}]}},
            "InvalidParameterException",
            "Override for container named nope is not a container in the TaskDefinition.",
            id="an override of no container",
        ),
        pytest.param(
            {"overrides": {"containerOverrides": [{"name": "app", "command": ["x" * 8192]}]}},
            "InvalidParameterException",
            "Container Overrides length must be at most 8192",
            id="overrides that are too long",
        ),
        pytest.param({"group": "service:x"}, "InvalidParameterException", "Invalid namespace for group.", id="group"),
        pytest.param(
            {"platformVersion": "9.9.9"},
            "PlatformUnknownException",
            "The specified platform does not exist: 9.9.9",
            id="a platform that there is not",
        ),
        pytest.param(
            {"propagateTags": "SERVICE"},
            "InvalidParameterException",
            "propagateTags can not be SERVICE for a task that no service makes.",
            id="tags of no service",
        ),
        pytest.param(
            {"startedBy": "a" * 129},
            "InvalidParameterException",
            "startedBy must have at most 128 characters, and has 129",
            id="who started it",
        ),
        pytest.param(
            {"placementConstraints": [{"type": "distinctInstance"}]},
            "InvalidParameterException",
            "Placement constraints are not supported with FARGATE launch type.",
            id="placement on Fargate",
        ),
    ],
)
def test_a_request_that_can_t_be(lab: EcsLab, params: Json, code: str, message: str) -> None:
    said = {"taskDefinition": "web", **FARGATE, **params}
    found = lab.refused("RunTask", {name: value for name, value in said.items() if value is not None})
    assert (found.code, found.message) == (code, message)


def test_a_definition_that_is_not_for_fargate(lab: EcsLab) -> None:
    found = lab.refused("RunTask", {"taskDefinition": "job", "launchType": "FARGATE"})
    assert (found.code, found.message) == (
        "InvalidParameterException",
        "Task definition does not support launch_type FARGATE.",
    )


def test_an_inactive_definition_is_not_run(lab: EcsLab) -> None:
    lab.call("DeregisterTaskDefinition", {"taskDefinition": "web:1"})
    found = lab.refused("RunTask", {"taskDefinition": "web:1", **FARGATE})
    assert (found.code, found.message) == ("InvalidParameterException", "TaskDefinition is inactive")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"propagateTags": "TASK_DEFINITION"}, {"of": "definition"}, id="the definition's"),
        pytest.param(
            {"propagateTags": "TASK_DEFINITION", "tags": [{"key": "of", "value": "request"}]},
            {"of": "request"},
            id="the request's go before the definition's",
        ),
        pytest.param({"enableECSManagedTags": True}, {"aws:ecs:clusterName": "default"}, id="AWS's own"),
    ],
)
def test_tags_of_a_new_task(lab: EcsLab, params: Json, expected: dict[str, str]) -> None:
    [task] = run_task(lab, **params)
    assert {one["key"]: one["value"] for one in task["tags"]} == expected
    [told] = lab.call("DescribeTasks", {"tasks": [task["taskArn"]]})["tasks"]
    assert told["tags"] == []
    [told] = lab.call("DescribeTasks", {"tasks": [task["taskArn"]], "include": ["TAGS"]})["tasks"]
    assert told["tags"] == task["tags"]


def test_the_same_request_twice_runs_once(lab: EcsLab) -> None:
    first = run_task(lab, count=2, clientToken="t")
    lab.later(seconds=5)
    assert [one["taskArn"] for one in run_task(lab, count=2, clientToken="t")] == [one["taskArn"] for one in first]
    found = lab.refused("RunTask", {"taskDefinition": "web", **FARGATE, "count": 3, "clientToken": "t"})
    assert found.code == "ConflictException"
    assert found.members == {"resourceIds": [one["taskArn"] for one in first]}


def test_overrides_are_merged_and_told(lab: EcsLab) -> None:
    given = {
        "containerOverrides": [{"name": "side", "command": ["x"], "environment": [{"name": "A", "value": "1"}]}],
        "cpu": "512",
        "memory": "1024",
    }
    [task] = run_task(lab, overrides=given)
    assert (task["cpu"], task["memory"]) == ("512", "1024")
    assert task["overrides"] == {
        "containerOverrides": [{"name": "app"}, given["containerOverrides"][0]],
        "inferenceAcceleratorOverrides": [],
        "cpu": "512",
        "memory": "1024",
    }


def test_capacity_providers_get_their_shares(lab: EcsLab) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 2, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    said = {"taskDefinition": "web", "networkConfiguration": NETWORK, "count": 10}
    tasks = lab.call("RunTask", {**said, "capacityProviderStrategy": strategy})["tasks"]
    assert {one["launchType"] for one in tasks} == {"FARGATE"}
    names = [one["capacityProviderName"] for one in tasks]
    assert names[:2] == ["FARGATE", "FARGATE"]
    assert (names.count("FARGATE"), names.count("FARGATE_SPOT")) == (4, 6)


def test_a_task_is_started_where_somebody_says(lab: EcsLab) -> None:
    one, two = machines(lab, node("a"), node("b", cpu=100))
    params = {"taskDefinition": "job", "containerInstances": [one, two.rpartition("/")[2], "0" * 32]}
    answer = lab.call("StartTask", params)
    assert [task["containerInstanceArn"] for task in answer["tasks"]] == [one]
    assert answer["failures"] == [
        {"arn": two, "reason": "RESOURCE:CPU"},
        {"arn": "0" * 32, "reason": "MISSING"},
    ]
    found = lab.refused("StartTask", {"taskDefinition": "job", "containerInstances": []})
    assert found.message == "Container Instances cannot be empty."
    found = lab.refused("StartTask", {"taskDefinition": "job", "containerInstances": ["0" * 32] * 11})
    assert found.message == "Container instances cannot have more than 10 items."


def test_a_task_is_stopped_once(lab: EcsLab) -> None:
    [task] = run_task(lab)
    lab.later(seconds=1)
    told = lab.call("StopTask", {"task": task["taskArn"], "reason": "enough"})["task"]
    assert (told["desiredStatus"], told["stopCode"], told["stoppedReason"]) == ("STOPPED", "UserInitiated", "enough")
    assert (told["lastStatus"], told["stoppingAt"], told["version"]) == ("PROVISIONING", lab.now, 2)
    again = lab.call("StopTask", {"task": task["taskArn"].rpartition("/")[2], "reason": "more"})["task"]
    assert again == told


def test_a_task_is_stopped_without_a_reason(lab: EcsLab) -> None:
    [task] = run_task(lab)
    assert lab.call("StopTask", {"task": task["taskArn"]})["task"]["stoppedReason"] == "Task stopped by user"


@pytest.mark.parametrize(
    ("strategy", "running", "chosen"),
    [
        pytest.param([{"capacityProvider": "a"}], {"a": 5}, "a", id="one that says no weight"),
        pytest.param([{"capacityProvider": "a", "weight": 0, "base": 0}], {"a": 5}, "a", id="one that weighs nothing"),
        pytest.param(
            [{"capacityProvider": "a", "weight": 0, "base": 1}, {"capacityProvider": "b", "weight": 1}],
            {},
            "a",
            id="its base first",
        ),
        pytest.param(
            [{"capacityProvider": "a", "weight": 0, "base": 1}, {"capacityProvider": "b", "weight": 1}],
            {"a": 1, "b": 7},
            "b",
            id="then those that weigh",
        ),
    ],
)
def test_a_capacity_provider_is_chosen(strategy: list[dict[str, Any]], running: dict[str, int], chosen: str) -> None:
    assert chosen_provider(strategy, running) == chosen


def test_a_volume_that_is_configured_at_launch(lab: EcsLab) -> None:
    container = {"name": "app", "image": "app:1", "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}
    members = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
    register(lab, "disk", container, volumes=[{"name": "data", "configuredAtLaunch": True}], **members)
    volume = {"name": "data", "managedEBSVolume": {"roleArn": "arn:aws:iam::000000000000:role/r", "sizeInGiB": 10}}
    said = {"taskDefinition": "disk", **FARGATE}
    [task] = lab.call("RunTask", {**said, "volumeConfigurations": [volume]})["tasks"]
    [kept] = [one for one in lab.state.tasks_of_cluster(f"{STEM}:cluster/default") if one.arn == task["taskArn"]]
    assert [one["name"] for one in kept.volume_configurations] == ["data"]
    found = lab.refused("RunTask", {**said, "volumeConfigurations": [{**volume, "name": "other"}]})
    assert found.message == "The task definition has no volume 'other' that is configured at launch."


def test_a_machine_that_is_gone_starts_nothing(lab: EcsLab) -> None:
    [only] = machines(lab, node("a"))
    machines(lab)
    answer = lab.call("StartTask", {"taskDefinition": "job", "containerInstances": [only]})
    assert answer == {"tasks": [], "failures": [{"arn": only, "reason": "INACTIVE"}]}
