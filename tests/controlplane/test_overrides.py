from typing import Any

import pytest
from tasks_lab import container, definition

from kecs.controlplane import overrides
from kecs.controlplane.errors import ApiError

APP = container(
    "app",
    command=["serve"],
    environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    environmentFiles=[{"value": "arn:aws:s3:::b/base.env", "type": "s3"}],
    resourceRequirements=[{"type": "GPU", "value": "1"}],
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({"command": ["other"]}, {"command": ["other"]}, id="the command"),
        pytest.param({"command": []}, {"command": []}, id="no command at all"),
        pytest.param({"cpu": 0, "memory": 128}, {"cpu": 0, "memory": 128}, id="its size"),
        pytest.param({"memoryReservation": 32}, {"memoryReservation": 32}, id="its reservation"),
        pytest.param(
            {"environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {
                "environment": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "value": "3"},
                    {"name": "C", "value": "4"},
                ]
            },
            id="variables: new values, and new ones",
        ),
        pytest.param(
            {"environmentFiles": [{"value": "arn:aws:s3:::b/more.env", "type": "s3"}]},
            {
                "environmentFiles": [
                    {"value": "arn:aws:s3:::b/more.env", "type": "s3"},
                    {"value": "arn:aws:s3:::b/base.env", "type": "s3"},
                ]
            },
            id="files before the definition's: the first file wins",
        ),
        pytest.param(
            {"resourceRequirements": [{"type": "GPU", "value": "2"}]},
            {"resourceRequirements": [{"type": "GPU", "value": "2"}]},
            id="resources",
        ),
    ],
)
def test_a_container_s_overrides_are_merged(said: dict[str, Any], expected: dict[str, Any]) -> None:
    base = definition(APP, container("side"))
    merged = overrides.applied(base, {"containerOverrides": [{"name": "app", **said}]})
    assert merged.containers[0] == {**APP, **expected}
    assert merged.containers[1] == base.containers[1]
    assert base.containers[0] == APP


def test_a_task_s_overrides_take_the_definition_s_place() -> None:
    said = {
        "cpu": "512",
        "memory": "1024",
        "taskRoleArn": "arn:aws:iam::000000000000:role/other",
        "executionRoleArn": "arn:aws:iam::000000000000:role/exec",
        "ephemeralStorage": {"sizeInGiB": 30},
    }
    base = definition(APP, cpu="256", memory="512", taskRoleArn="arn:aws:iam::000000000000:role/task")
    merged = overrides.applied(base, said)
    assert {name: merged.document[name] for name in said} == said
    assert (merged.arn, merged.containers) == (base.arn, base.containers)


@pytest.mark.parametrize("said", [None, {}], ids=["nothing", "an empty one"])
def test_without_overrides_a_definition_is_itself(said: dict[str, Any] | None) -> None:
    base = definition(APP)
    assert overrides.applied(base, said) is base
    overrides.check(base, said)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        pytest.param({"name": "x"}, "Override for container named x is not a container in the TaskDefinition.", id="x"),
        pytest.param({"cpu": 1}, "Container name cannot be empty in container override.", id="no name"),
    ],
)
def test_overrides_of_containers_that_there_are_not(one: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as raised:
        overrides.check(definition(APP), {"containerOverrides": [{"name": "app"}, one]})
    assert (raised.value.code, raised.value.message) == ("InvalidParameterException", message)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"cpu": "much"}, "Invalid 'cpu' setting for task."),
        ({"cpu": "0"}, "Invalid 'cpu' setting for task."),
        ({"cpu": "²"}, "Invalid 'cpu' setting for task."),
        ({"memory": "-1"}, "Invalid 'memory' setting for task."),
        (
            {"containerOverrides": [{"name": "app", "environment": [{"value": "1"}]}]},
            "Override for container named app has an environment variable without a name.",
        ),
    ],
)
def test_sizes_and_variables_that_are_none_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as raised:
        overrides.check(definition(APP), said)
    assert (raised.value.code, raised.value.message) == ("InvalidParameterException", message)


def test_sizes_of_a_task_may_be_spelled_with_their_units() -> None:
    said = {"cpu": "1 vCPU", "memory": "2GB"}
    overrides.check(definition(APP), said)
    merged = overrides.applied(definition(APP), said).document
    assert (merged["cpu"], merged["memory"]) == ("1024", "2048")
    overrides.check(definition(APP), {"cpu": "", "memory": ""})
    assert overrides.applied(definition(APP), {"cpu": ""}) == definition(APP)
