import json
import math
from typing import Any

import aws_lab
import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import JSONSerializer, RpcV2CBORSerializer, create_serializer

from kecs.aws import cbor, cbor_json
from kecs.aws.cbor import CborError, Instant

RPC = "smithy-rpc-v2-cbor"
SERVICES = [
    name
    for name in aws_lab.session().get_available_services()
    if {RPC, "json"} <= set(aws_lab.session().get_service_model(name).metadata.get("protocols", ()))
]


def operations(service: str) -> list[OperationModel]:
    model = aws_lab.session().get_service_model(service)
    return [model.operation_model(name) for name in model.operation_names]


LEAVES = {"timestamp": 1700000000, "double": 2.0, "float": 2.0, "blob": b"\x00bytes\xff", "boolean": True}
NUMBERS = {"integer": 7, "long": 2**40}


def full(shape: Any, depth: int = 0) -> Any:
    """Return a value of a shape with every member, but for shapes inside themselves."""
    deep = depth > 6
    match shape.type_name:
        case "structure":
            names = [] if deep else list(shape.members)[: 1 if shape.is_tagged_union else None]
            return {name: full(shape.members[name], depth + 1) for name in names}
        case "list":
            return [] if deep else [full(shape.member, depth + 1)]
        case "map":
            return {} if deep else {"some": full(shape.value, depth + 1)}
        case "string":
            return next(iter(shape.enum), "text")
        case kind:
            return (LEAVES | NUMBERS)[kind]


def said(serializer: Any, shape: Any, value: Any) -> Any:
    """Return what botocore's serializer says of a value, before it is written."""
    made: dict[str, Any] = {}
    serializer._serialize(made, value, shape, "it")
    return made["it"]


def in_json(shape: Any, value: Any) -> bytes:
    return json.dumps(said(JSONSerializer(), shape, value)).encode()


def in_cbor(shape: Any, value: Any) -> bytes:
    made = bytearray()
    serializer: Any = RpcV2CBORSerializer()
    serializer._serialize_data_item(made, value, shape)
    return bytes(made)


def test_the_services_that_speak_both_are_known() -> None:
    assert len(SERVICES) > 20
    assert all(cbor_json.is_known(name) for name in [*SERVICES, "kinesis"])
    assert not cbor_json.is_known("dynamodb")


@pytest.mark.parametrize("service", SERVICES)
def test_a_request_in_cbor_says_in_json_what_botocore_says_in_json(service: str) -> None:
    checked = 0
    for operation in operations(service):
        if operation.input_shape is None:
            continue
        value = full(operation.input_shape)
        ours = json.loads(cbor_json.to_json(in_cbor(operation.input_shape, value), milliseconds=False))
        assert ours == json.loads(in_json(operation.input_shape, value)), operation.name
        checked += 1
    assert checked or service == "interconnect"


@pytest.mark.parametrize("service", SERVICES)
def test_an_answer_in_json_says_in_cbor_what_botocore_reads_from_json(service: str) -> None:
    for operation in operations(service):
        shape = operation.output_shape
        if shape is None:
            continue
        body = in_json(shape, full(shape))
        made = cbor_json.from_json(body, service=service, operation=operation.name, milliseconds=False)
        assert read(RPC, operation, made) == read("json", operation, body), operation.name
        check(shape, cbor.loads(made), json.loads(body))


def check(shape: Any, found: Any, value: Any) -> None:
    """Let botocore's model agree with the types: clients in other languages insist on them."""
    match shape.type_name:
        case "structure":
            for name, inside in found.items():
                check(shape.members[name], inside, value[name])
        case "list":
            for inside, one in zip(found, value, strict=True):
                check(shape.member, inside, one)
        case "map":
            for name, inside in found.items():
                check(shape.value, inside, value[name])
        case kind:
            wanted = {"timestamp": Instant, "blob": bytes, "double": float, "float": float}
            assert isinstance(found, wanted.get(kind, type(value))), (shape.name, found)


def read(protocol: str, operation: OperationModel, body: bytes) -> Any:
    """Return what botocore reads from an answer."""
    content = "application/cbor" if protocol == RPC else "application/x-amz-json-1.1"
    response = {"status_code": 200, "headers": {"content-type": content}, "body": body, "context": {}}
    shape: Any = operation.output_shape
    found: Any = create_parser(protocol).parse(response, shape)
    found.pop("ResponseMetadata")
    return found


def test_botocores_whole_request_is_read() -> None:
    operation = aws_lab.session().get_service_model("cloudwatch").operation_model("GetMetricStatistics")
    given = aws_lab.parameters(operation)
    request = create_serializer(RPC).serialize_to_request(given, operation)
    found = json.loads(cbor_json.to_json(request["body"], milliseconds=False))
    assert found["MetricName"] == given["MetricName"]
    assert found["StartTime"] == 0


def test_kinesis_counts_in_milliseconds() -> None:
    body = cbor.dumps({"Timestamp": Instant(1700000000250), "Data": b"\x01"})
    assert cbor_json.to_json(body, milliseconds=True) == b'{"Timestamp":1700000000.25,"Data":"AQ=="}'
    answer = b'{"Records":[{"Data":"AQ==","ApproximateArrivalTimestamp":1700000000.25,"PartitionKey":"AQ=="}]}'
    made = cbor_json.from_json(answer, service="kinesis", operation="GetRecords", milliseconds=True)
    record = {"Data": b"\x01", "ApproximateArrivalTimestamp": Instant(1700000000250), "PartitionKey": "AQ=="}
    assert cbor.loads(made) == {"Records": [record]}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ('{"Timestamps":["2026-02-03T04:05:06Z"]}', {"Timestamps": [Instant(1770091506)]}),
        ('{"Timestamps":["2026-02-03T04:05:06"]}', {"Timestamps": [Instant(1770091506)]}),
        ('{"Timestamps":["soon", true, null]}', {"Timestamps": [None, None, None]}),
        ('{"Values":[1, "NaN", "-Infinity", 2.5]}', {"Values": [1.0, math.nan, -math.inf, 2.5]}),
        ('{"Label":null,"New":{"a":[1,null]}}', {"New": {"a": [1, None]}}),
    ],
)
def test_what_a_backend_spells_in_its_own_way(given: str, wanted: Any) -> None:
    body = f'{{"MetricDataResults":[{given}]}}'.encode()
    made = cbor_json.from_json(body, service="cloudwatch", operation="GetMetricData", milliseconds=False)
    assert repr(cbor.loads(made)) == repr({"MetricDataResults": [wanted]})


def test_no_body_is_an_empty_structure() -> None:
    assert cbor_json.to_json(b"", milliseconds=False) == b"{}"
    assert cbor_json.from_json(b" ", service="kinesis", operation="PutRecord", milliseconds=True) == b"\xa0"


def test_numbers_that_json_has_not_are_words() -> None:
    body = cbor.dumps({"a": [math.nan, math.inf, -math.inf]})
    assert json.loads(cbor_json.to_json(body, milliseconds=False)) == {"a": ["NaN", "Infinity", "-Infinity"]}


def test_a_body_that_is_no_structure_is_an_error() -> None:
    with pytest.raises(CborError, match="no map but list"):
        cbor_json.to_json(b"\x80", milliseconds=False)
    with pytest.raises(ValueError, match="Expecting"):
        cbor_json.from_json(b"<html>", service="kinesis", operation="", milliseconds=False)
