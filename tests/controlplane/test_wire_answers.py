"""Answers as botocore understands them: results, every exception of every operation, in both protocols."""

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import ecs_shapes_lab as shapes
import pytest
from ecs_lab import misfit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.aws import cbor
from kecs.aws.head import Answer
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Outcome
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.wire.answers import failure, success
from kecs.controlplane.wire.requests import Spoken
from kecs.controlplane.wire.writing import write

REQUEST_ID = "7d1c9a52-5f4b-4d0e-9a3f-0f3f5c1f6a77"
SPOKEN = {"json": Spoken.JSON, "smithy-rpc-v2-cbor": Spoken.CBOR}
EXCEPTIONS = sorted(shape.name for shape in shapes.service().error_shapes)


def told(name: str, body: dict[str, Any], *, protocol: str = "json", warnings: tuple[str, ...] = ()) -> Answer:
    outcome = Outcome(body=body, warnings=warnings)
    return success(name, outcome, protocol=SPOKEN[protocol], request_id=REQUEST_ID, misfit=misfit)


def refused(error: ApiError, *, protocol: str = "json") -> Answer:
    return failure(error, protocol=SPOKEN[protocol], request_id=REQUEST_ID, misfit=misfit)


@pytest.mark.parametrize("protocol", shapes.PROTOCOLS)
@pytest.mark.parametrize("name", shapes.operation_names())
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_botocore_reads_what_was_told(name: str, protocol: str, data: st.DataObject) -> None:
    body = data.draw(shapes.values(shapes.output_of(name)))
    found = shapes.understood(name, told(name, body, protocol=protocol), protocol=protocol)
    metadata = found.pop("ResponseMetadata")
    assert found == body
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RequestId"] == REQUEST_ID


@pytest.mark.parametrize("protocol", shapes.PROTOCOLS)
@pytest.mark.parametrize("code", EXCEPTIONS)
@given(message=st.text(st.characters(codec="utf-8"), min_size=1), members=st.lists(st.text(max_size=5), max_size=3))
@settings(max_examples=15)
def test_botocore_reads_every_exception(code: str, protocol: str, message: str, members: list[str]) -> None:
    more: dict[str, Any] = {"resourceIds": members} if code == "ConflictException" else {}
    answer = refused(ApiError(code, message, **more), protocol=protocol)
    (name, *_) = (
        name for name in shapes.operation_names() if code in {one.name for one in shapes.operation(name).error_shapes}
    )
    found = shapes.understood(name, answer, protocol=protocol)
    assert found["Error"]["Code"] == code
    assert found["Error"]["Message"] == message
    assert found["ResponseMetadata"]["RequestId"] == REQUEST_ID
    assert {key: found[key] for key in more} == more
    assert answer.status == (500 if code == "ServerException" else 400)


def test_an_answer_is_as_awss() -> None:
    answer = told("ListClusters", {"clusterArns": ["arn:aws:ecs:us-east-1:000000000000:cluster/c"], "nextToken": None})
    assert answer.body == b'{"clusterArns":["arn:aws:ecs:us-east-1:000000000000:cluster/c"]}'
    assert dict(answer.fields) == {
        b"Content-Type": b"application/x-amz-json-1.1",
        b"x-amzn-RequestId": REQUEST_ID.encode(),
    }
    error = refused(ApiError("ClusterNotFoundException", "Cluster not found."))
    assert json.loads(error.body) == {"__type": "ClusterNotFoundException", "message": "Cluster not found."}
    assert dict(error.fields)[b"x-amzn-ErrorType"] == b"ClusterNotFoundException"


def test_an_answer_in_cbor_is_smithys() -> None:
    answer = told("ListClusters", {"clusterArns": []}, protocol="smithy-rpc-v2-cbor")
    assert cbor.loads(answer.body) == {"clusterArns": []}
    assert dict(answer.fields)[b"smithy-protocol"] == b"rpc-v2-cbor"
    assert dict(answer.fields)[b"Content-Type"] == b"application/cbor"
    error = refused(ApiError("ClusterNotFoundException", "Cluster not found."), protocol="smithy-rpc-v2-cbor")
    assert cbor.loads(error.body) == {
        "__type": "com.amazonaws.ecs#ClusterNotFoundException",
        "message": "Cluster not found.",
    }


def test_an_exception_without_words_has_no_message() -> None:
    assert json.loads(refused(ApiError("UnknownOperationException", "")).body) == {
        "__type": "UnknownOperationException"
    }


def test_warnings_are_fields_of_their_own() -> None:
    warnings = ("container 'app': gpu has no effect", "second\r\nx-evil: 1 é" + "y" * 3000)
    found = [value for name, value in told("ListClusters", {}, warnings=warnings).fields if name == b"x-kecs-warning"]
    assert found[0] == b"container 'app': gpu has no effect"
    assert found[1].startswith(b"second??x-evil: 1 ?yyy")
    assert len(found[1]) == 1024
    many = told("ListClusters", {}, warnings=("w",) * 100)
    assert sum(name == b"x-kecs-warning" for name, _ in many.fields) == 16


@pytest.mark.parametrize(
    ("body", "places", "left"),
    [
        ({"colour": "red"}, ["DescribeTasksResponse.colour"], {}),
        ({"tasks": [{"taskArn": "a", "colour": 1}]}, ["Task.colour"], {"tasks": [{"taskArn": "a"}]}),
        ({"tasks": [{"taskArn": 5}]}, ["String: int"], {"tasks": [{}]}),
        ({"tasks": ["a", {"cpu": "1"}]}, ["Task: str"], {"tasks": [{"cpu": "1"}]}),
        ({"tasks": {"a": 1}}, ["Tasks: dict"], {}),
        ({"tasks": [{"createdAt": 5.0}]}, ["Timestamp: float"], {"tasks": [{}]}),
        ({"tasks": [{"version": True}]}, ["Long: bool"], {"tasks": [{}]}),
        ({"tasks": [{"version": 1.5}]}, ["Long: float"], {"tasks": [{}]}),
        ({"tasks": [{"enableExecuteCommand": 1}]}, ["Boolean: int"], {"tasks": [{}]}),
        ({"tasks": [{"stopCode": "TaskFailed"}]}, ["TaskStopCode: 'TaskFailed'"], {"tasks": [{}]}),
        ({"tasks": [{"stopCode": ["UserInitiated"]}]}, ["TaskStopCode: ['UserInitiated']"], {"tasks": [{}]}),
        ({"tasks": [None, {"cpu": "1"}]}, ["Task: NoneType"], {"tasks": [{"cpu": "1"}]}),
    ],
)
def test_what_the_model_has_no_room_for_is_told_and_left_out(
    body: dict[str, Any], places: list[str], left: dict[str, Any]
) -> None:
    seen: list[str] = []
    assert write("DescribeTasksResponse", body, seen.append) == left
    assert seen == places


def test_maps_are_judged_too() -> None:
    seen: list[str] = []
    body = {"endpoint": "e", "telemetryEndpoint": None}
    assert write("DiscoverPollEndpointResponse", body, seen.append) == {"endpoint": "e"}
    options = {"logDriver": "awslogs", "options": {"a": "b", "c": None, "d": 5}}
    assert write("LogConfiguration", options, seen.append) == {"logDriver": "awslogs", "options": {"a": "b"}}
    assert write("LogConfiguration", {"logDriver": "awslogs", "options": ["a"]}, seen.append) == {
        "logDriver": "awslogs"
    }
    assert seen == ["String: int", "LogConfigurationOptionsMap: list"]


def test_values_become_what_json_has() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=9)))
    body = {"tasks": ({"createdAt": moment, "lastStatus": TaskStatus.RUNNING, "tags": ()},)}
    (task,) = write("DescribeTasksResponse", body, misfit)["tasks"]
    assert task == {"createdAt": 1767290645.679, "lastStatus": "RUNNING", "tags": []}
    assert type(task["lastStatus"]) is str
    assert write("Scale", {"value": 50}, misfit) == {"value": 50.0}


def test_a_number_that_json_has_not_is_told() -> None:
    seen: list[str] = []
    assert write("Scale", {"value": math.nan}, seen.append) == {}
    assert write("Scale", {"value": math.inf}, seen.append) == {}
    assert seen == ["Double: nan", "Double: inf"]


def test_documents_are_given_back_as_they_came() -> None:
    details = {"a": [1, None, {"b": 1.5}], "c": True}
    service = {"deploymentConfiguration": {"lifecycleHooks": [{"hookDetails": details}]}}
    answer = told("CreateService", {"service": service})
    assert json.loads(answer.body) == {"service": service}
    assert cbor.loads(told("CreateService", {"service": service}, protocol="smithy-rpc-v2-cbor").body) == {
        "service": service
    }


def test_a_truth_is_no_number() -> None:
    seen: list[str] = []
    assert write("Scale", {"value": True}, seen.append) == {}
    assert seen == ["Double: bool"]
