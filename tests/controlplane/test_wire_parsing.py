"""Parameters by shape: what is unknown, of another type, missing or impossible."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import ecs_shapes_lab as shapes
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.aws.cbor import Instant
from kecs.controlplane.errors import ApiError
from kecs.controlplane.wire.parsing import parse


def refused(name: str, document: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as raised:
        parse(name, document)
    return raised.value.code, raised.value.message


def test_members_that_are_unknown_or_null_are_left_out() -> None:
    given = {"clusters": ["a"], "colour": "red", "include": None}
    assert parse("DescribeClusters", given) == {"clusters": ["a"]}
    nested = {"family": "f", "containerDefinitions": [{"name": "a", "x": {}, "cpu": None, "dockerLabels": {"a": None}}]}
    assert parse("RegisterTaskDefinition", nested) == {
        "family": "f",
        "containerDefinitions": [{"name": "a", "dockerLabels": {}}],
    }


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        pytest.param("ListTasks", {"cluster": 5}, "NUMBER_VALUE cannot be converted to String", id="number for text"),
        pytest.param("ListTasks", {"cluster": 1.5}, "DECIMAL_VALUE cannot be converted to String", id="float for text"),
        pytest.param("ListTasks", {"cluster": True}, "TRUE_VALUE cannot be converted to String", id="true for text"),
        pytest.param("ListTasks", {"cluster": False}, "FALSE_VALUE cannot be converted to String", id="false for text"),
        pytest.param(
            "ListTasks", {"cluster": {}}, "Start of structure or map found where not expected.", id="map for text"
        ),
        pytest.param("ListTasks", {"cluster": "\ud800"}, "Half of a surrogate pair is no character", id="half a pair"),
        pytest.param(
            "ListTasks", {"maxResults": "5"}, "STRING_VALUE cannot be converted to Integer", id="text for number"
        ),
        pytest.param(
            "ListTasks", {"maxResults": 1.5}, "DECIMAL_VALUE cannot be converted to Integer", id="part of a number"
        ),
        pytest.param("ListTasks", {"maxResults": 1 << 31}, "NUMBER_VALUE cannot be converted to Integer", id="33 bits"),
        pytest.param(
            "ListTasks", {"maxResults": math.inf}, "DECIMAL_VALUE cannot be converted to Integer", id="infinity"
        ),
        pytest.param(
            "DeleteService",
            {"service": "s", "force": "true"},
            "STRING_VALUE cannot be converted to Boolean",
            id="text for boolean",
        ),
        pytest.param(
            "DeleteService", {"service": "s", "force": 1}, "NUMBER_VALUE cannot be converted to Boolean", id="1"
        ),
        pytest.param("DescribeTasks", {"tasks": "a"}, "Unrecognized collection type", id="text for list"),
        pytest.param("DescribeTasks", {"tasks": {"a": 1}}, "Unrecognized collection type", id="map for list"),
        pytest.param(
            "DescribeTasks", {"tasks": [None]}, "VALUE cannot be converted to String", id="a list that holds nothing"
        ),
        pytest.param(
            "RegisterTaskDefinition",
            {"family": "f", "containerDefinitions": [{"dockerLabels": ["a"]}]},
            "Unrecognized collection type",
            id="list for map",
        ),
        pytest.param("CreateCluster", {"configuration": []}, "Unexpected field type", id="list for structure"),
        pytest.param("CreateCluster", [], "Unexpected field type", id="the body is a list"),
        pytest.param("CreateCluster", "x", "Unexpected field type", id="the body is a text"),
        pytest.param(
            "SubmitTaskStateChange",
            {"pullStartedAt": "2026-01-01"},
            "STRING_VALUE cannot be converted to Date",
            id="text for time",
        ),
        pytest.param(
            "SubmitTaskStateChange",
            {"pullStartedAt": 10**30},
            "NUMBER_VALUE cannot be converted to Date",
            id="no time of any calendar",
        ),
        pytest.param(
            "UpdateTaskSet",
            {"cluster": "c", "service": "s", "taskSet": "t", "scale": {"value": "50"}},
            "STRING_VALUE cannot be converted to Double",
            id="text for double",
        ),
        pytest.param(
            "UpdateTaskSet",
            {"cluster": "c", "service": "s", "taskSet": "t", "scale": {"value": 10**400}},
            "NUMBER_VALUE cannot be converted to Double",
            id="more than a double holds",
        ),
    ],
)
def test_values_of_another_type(name: str, document: Any, message: str) -> None:
    assert refused(name, document) == ("SerializationException", message)


def test_numbers_and_times_in_other_spellings() -> None:
    assert parse("ListTasks", {"maxResults": 5.0}) == {"maxResults": 5}
    moment = datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)
    for spelled in (moment.timestamp(), Instant(moment.timestamp())):
        assert parse("SubmitTaskStateChange", {"pullStartedAt": spelled}) == {"pullStartedAt": moment}
    found = parse("UpdateTaskSet", {"cluster": "c", "service": "s", "taskSet": "t", "scale": {"value": 50}})
    assert type(found["scale"]["value"]) is float


@pytest.mark.parametrize(
    ("name", "document", "error"),
    [
        ("DescribeTasks", {}, ("InvalidParameterException", "Tasks cannot be empty.")),
        ("DescribeContainerInstances", {}, ("InvalidParameterException", "Container Instances cannot be empty.")),
        ("RunTask", {}, ("InvalidParameterException", "TaskDefinition can not be blank.")),
        ("DeleteCluster", {"cluster": None}, ("InvalidParameterException", "Cluster can not be blank.")),
        (
            "RegisterTaskDefinition",
            {"containerDefinitions": []},
            ("ClientException", "Family should not be null or empty."),
        ),
        ("RegisterTaskDefinition", {"family": "f"}, ("ClientException", "Container list cannot be empty.")),
        (
            "RegisterTaskDefinition",
            {"family": "f", "containerDefinitions": [{"name": "a", "logConfiguration": {}}]},
            ("ClientException", "LogConfiguration.logDriver should not be null or empty."),
        ),
        (
            "CreateService",
            {"serviceName": "s", "capacityProviderStrategy": [{"weight": 1}]},
            ("InvalidParameterException", "CapacityProviderStrategyItem.capacityProvider should not be null or empty."),
        ),
        (
            "RunTask",
            {"taskDefinition": "t", "placementStrategy": [{"field": "cpu"}]},
            ("InvalidParameterException", "PlacementStrategy.type should not be null or empty."),
        ),
    ],
)
def test_members_that_are_missing(name: str, document: Any, error: tuple[str, str]) -> None:
    assert refused(name, document) == error


PATTERN = r"satisfy regular expression pattern: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
STRATEGY = "capacityProviderStrategy.1.member"


@pytest.mark.parametrize(
    ("name", "document", "code", "rules"),
    [
        (
            "RunTask",
            {"taskDefinition": "t", "launchType": "MOON"},
            "InvalidParameterException",
            [("MOON", "launchType", "satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]")],
        ),
        (
            "CreateCluster",
            {"tags": [{"key": "", "value": "v" * 300}, {"key": "a!"}]},
            "InvalidParameterException",
            [
                ("", "tags.1.member.key", "have length greater than or equal to 1"),
                ("v" * 256 + "...", "tags.1.member.value", "have length less than or equal to 256"),
                ("a!", "tags.2.member.key", PATTERN),
            ],
        ),
        (
            "CreateService",
            {"serviceName": "s", "capacityProviderStrategy": [{"capacityProvider": "a", "weight": 1001, "base": -1}]},
            "InvalidParameterException",
            [
                ("1001", f"{STRATEGY}.weight", "have value less than or equal to 1000"),
                ("-1", f"{STRATEGY}.base", "have value greater than or equal to 0"),
            ],
        ),
        (
            "CreateCluster",
            {"tags": [{"key": "a"}] * 51},
            "InvalidParameterException",
            [(f"{[{'key': 'a'}] * 51}"[:256] + "...", "tags", "have length less than or equal to 50")],
        ),
        (
            "RegisterTaskDefinition",
            {"family": "f", "networkMode": "vpc", "containerDefinitions": []},
            "ClientException",
            [("vpc", "networkMode", "satisfy enum value set: [bridge, host, awsvpc, none]")],
        ),
    ],
)
def test_values_that_the_model_forbids_are_all_told(
    name: str, document: Any, code: str, rules: list[tuple[str, str, str]]
) -> None:
    lines = [
        f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {rule}" for value, path, rule in rules
    ]
    plural = "s" if len(lines) > 1 else ""
    assert refused(name, document) == (code, f"{len(lines)} validation error{plural} detected: {'; '.join(lines)}")


def test_tags_in_any_script_are_tags() -> None:
    tags = [{"key": "部署 环境/é_.:=+-@9", "value": ""}]
    assert parse("CreateCluster", {"tags": tags}) == {"tags": tags}


def test_documents_are_whatever_json_says_within_bounds() -> None:
    def hooked(details: Any) -> Any:
        configuration = {"lifecycleHooks": [{"hookDetails": details}]}
        return {"serviceName": "s", "deploymentConfiguration": configuration}

    given = hooked({"a": [1, "b", None, True, 1.5], "c": {"d": "e"}})
    assert parse("CreateService", given) == given
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    for bad in (deep, math.inf, b"bytes", Instant(5), ["\udfff"], {"\udfff": 1}):
        assert refused("CreateService", hooked(bad))[0] == "SerializationException"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", shapes.operation_names())
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_document_is_parameters_or_an_error(name: str, data: st.DataObject) -> None:
    members = sorted(shapes.input_of(name).members)
    document = data.draw(st.dictionaries(st.sampled_from(members), JSON, max_size=4) if members else JSON)
    try:
        found = parse(name, document)
    except ApiError as error:
        assert error.code in {"SerializationException", "InvalidParameterException", "ClientException"}  # noqa: PT017 - a value or this
    else:
        assert found.keys() <= {*members}
        json.dumps(found, default=str).encode()
