"""Tasks that scaling leaves alone."""

from dataclasses import replace
from typing import Any

import pytest
from ecs_lab import EcsLab
from tasks_lab import FARGATE, STEM, run_task, tasks_api

from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes

type Json = dict[str, Any]


@pytest.fixture
def lab() -> EcsLab:
    return tasks_api()


def test_only_tasks_of_services_are_protected(lab: EcsLab) -> None:
    lab.call("CreateService", {"serviceName": "s", "taskDefinition": "web", "desiredCount": 1, **FARGATE})
    [task] = run_task(lab)
    served = f"{STEM}:task/default/{'f' * 32}"
    lab.store.apply(Changes(put=(_of_service(lab, served),)))
    params = {"cluster": "default", "tasks": [task["taskArn"], served, "0" * 32], "protectionEnabled": True}
    told = lab.call("UpdateTaskProtection", params)
    assert [(one["arn"].rpartition("/")[2], one["reason"]) for one in told["failures"]] == [
        (task["taskArn"].rpartition("/")[2], "TASK_NOT_VALID"),
        ("0" * 32, "MISSING"),
    ]
    [protected] = told["protectedTasks"]
    assert protected["protectionEnabled"] is True
    assert (protected["expirationDate"] - lab.now).total_seconds() == 7200
    lab.later(hours=3)
    found = lab.call("GetTaskProtection", {"cluster": "default"})
    assert found == {"protectedTasks": [{"taskArn": served, "protectionEnabled": False}], "failures": []}
    lab.call("UpdateTaskProtection", {**params, "tasks": [served], "expiresInMinutes": 1})
    [told] = lab.call("GetTaskProtection", {"cluster": "default", "tasks": [served]})["protectedTasks"]
    assert (told["expirationDate"] - lab.now).total_seconds() == 60
    off = lab.call("UpdateTaskProtection", {**params, "tasks": [served], "protectionEnabled": False})
    assert off["protectedTasks"] == [{"taskArn": served, "protectionEnabled": False}]


def _of_service(lab: EcsLab, arn: str) -> Any:
    made = next(iter(lab.state.tasks_of_cluster(f"{STEM}:cluster/default")))
    return replace(made, arn=arn, service_arn=f"{STEM}:service/default/s")


def test_a_task_that_is_to_stop_is_not_protected(lab: EcsLab) -> None:
    [task] = run_task(lab)
    served = replace(_of_service(lab, f"{STEM}:task/default/{'e' * 32}"), desired_status=TaskStatus.STOPPED)
    lab.store.apply(Changes(put=(served,)))
    params = {"cluster": "default", "tasks": [served.arn], "protectionEnabled": True}
    assert lab.call("UpdateTaskProtection", params) == {
        "protectedTasks": [],
        "failures": [{"arn": served.arn, "reason": "TASK_NOT_VALID", "detail": "The specified task is not running."}],
    }
    found = lab.refused("GetTaskProtection", {"cluster": "default", "tasks": [task["taskArn"]] * 101})
    assert found.message == "Tasks cannot have more than 100 items."


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"tasks": []}, "Tasks cannot be empty.", id="none"),
        pytest.param({"tasks": ["a"] * 11}, "Tasks cannot have more than 10 items.", id="too many"),
        pytest.param({"expiresInMinutes": 0}, "expiresInMinutes must be between 1 and 2880: 0", id="too short"),
        pytest.param({"expiresInMinutes": 2881}, "expiresInMinutes must be between 1 and 2880: 2881", id="too long"),
        pytest.param(
            {"protectionEnabled": False, "expiresInMinutes": 1},
            "expiresInMinutes can only be specified when protectionEnabled is true.",
            id="off for a while",
        ),
    ],
)
def test_a_protection_that_can_t_be(lab: EcsLab, params: Json, message: str) -> None:
    said = {"cluster": "default", "tasks": ["a"], "protectionEnabled": True, **params}
    found = lab.refused("UpdateTaskProtection", said)
    assert (found.code, found.message) == ("InvalidParameterException", message)
