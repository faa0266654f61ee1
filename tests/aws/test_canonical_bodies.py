"""Requests whose bodies change, and what their answers are put through. botocore writes and reads."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import aws_lab
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws import cbor
from kecs.aws.call import Protocol
from kecs.aws.canonical import body_wanted, canonicalise
from kecs.aws.canonical_answers import answered, is_doubtful, unserved
from kecs.aws.canonical_bodies import BODY_MAX
from kecs.aws.canonical_types import Back, Changed, Refusal
from kecs.aws.cbor import Instant
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, Fields, RequestHead, ResponseHead
from kecs.aws.profiles import PROFILES
from kecs.aws.scope import from_header

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
RPC = "smithy-rpc-v2-cbor"
JSON_ONLY = ["embedded", "moto-server", "ministack", "generic"]
KINESIS = "application/x-amz-cbor-1.1"


def outcome(head: RequestHead, profile: str, body: bytes | None = b"") -> RequestHead | Changed | Refusal:
    return canonicalise(classify(head, body=body or b""), head, PROFILES[profile], body=body)


def changed(head: RequestHead, profile: str, body: bytes | None = b"") -> Changed:
    found = outcome(head, profile, body)
    assert isinstance(found, Changed), found
    return found


def refused(head: RequestHead, profile: str, body: bytes | None = b"") -> Refusal:
    found = outcome(head, profile, body)
    assert isinstance(found, Refusal), found
    return found


def signed(signing: str) -> tuple[bytes, bytes]:
    scope = (
        f"AWS4-HMAC-SHA256 Credential=AKID/20260203/eu-west-1/{signing}/aws4_request, SignedHeaders=host, Signature=x"
    )
    return b"Authorization", scope.encode()


def rpc(service: str, operation: str, **given: Any) -> tuple[RequestHead, bytes]:
    """Return a request as botocore writes it in RPC v2 CBOR."""
    model = aws_lab.session().get_service_model(service)
    made: Any = create_serializer(RPC).serialize_to_request(given, model.operation_model(operation))
    fields = tuple((key.encode(), value.encode()) for key, value in made["headers"].items())
    host = (b"Host", f"{model.endpoint_prefix}.eu-west-1.amazonaws.com".encode())
    head = RequestHead(
        method=b"POST",
        target=made["url_path"].encode(),
        fields=(host, signed(model.signing_name), *fields, (b"Accept-Encoding", b"gzip")),
    )
    return head, bytes(made["body"])


def kinesis(operation: str, item: Any) -> tuple[RequestHead, bytes]:
    """Return a request as Java clients write it."""
    target = (b"X-Amz-Target", b"Kinesis_20131202." + operation.encode())
    fields = (signed("kinesis"), target, (b"Content-Type", KINESIS.encode()))
    return aws_lab.get_head("https://kinesis.eu-west-1.amazonaws.com/", b"POST", *fields), cbor.dumps(item)


def reply(body: bytes, status: int = 200, content: bytes = b"application/x-amz-json-1.0") -> ResponseHead:
    fields: Fields = (
        (b"Content-Type", content),
        (b"x-amzn-RequestId", b"an-id"),
        (b"Content-Length", b"%d" % len(body)),
    )
    return ResponseHead(status=status, reason=b"", fields=fields)


def read(service: str, operation: str, answer: Answer) -> Any:
    """Return what botocore reads."""
    shape: Any = aws_lab.session().get_service_model(service).operation_model(operation).output_shape
    headers = {key.decode().lower(): value.decode() for key, value in answer.fields}
    response = {"status_code": answer.status, "headers": headers, "body": answer.body, "context": {}}
    return create_parser(RPC).parse(response, shape)


METRIC = {"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1.5, "Timestamp": NOW}]}


@pytest.mark.parametrize("profile", JSON_ONLY)
def test_rpc_cbor_becomes_the_json_that_botocore_sends(profile: str) -> None:
    head, body = rpc("cloudwatch", "PutMetricData", **METRIC)
    assert body_wanted(head, PROFILES[profile]) == BODY_MAX
    found = changed(head, profile, body)
    theirs = aws_lab.sent(aws_lab.client("cloudwatch", "eu-west-1"), "PutMetricData", **METRIC)
    assert found.body is not None
    assert json.loads(found.body) == json.loads(theirs.body)
    assert (found.head.method, found.head.target, found.answered) == (b"POST", b"/", Back.RPC_CBOR)
    for name in (b"x-amz-target", b"content-type"):
        assert found.head.get(name) == theirs.head.get(name)
    assert found.head.get(b"content-length") == str(len(found.body)).encode()
    assert found.head.get(b"authorization") == head.get(b"authorization")
    for name in (b"smithy-protocol", b"accept", b"accept-encoding", b"transfer-encoding"):
        assert found.head.get(name) is None


def test_a_backend_that_speaks_cbor_gets_it_as_it_is() -> None:
    head, _ = rpc("cloudwatch", "PutMetricData", **METRIC)
    assert body_wanted(head, PROFILES["localstack"]) == 0
    assert outcome(head, "localstack") is head
    head, _ = kinesis("ListStreams", {})
    assert outcome(head, "localstack") is head


def test_other_requests_need_no_body() -> None:
    head = aws_lab.sent(aws_lab.client("dynamodb", "eu-west-1"), "ListTables").head
    assert body_wanted(head, PROFILES["embedded"]) == 0
    assert body_wanted(aws_lab.get_head("https://b.s3.amazonaws.com/k"), PROFILES["embedded"]) == 0


def test_a_request_without_input_has_neither_body_nor_type() -> None:
    head, body = rpc("cloudwatch", "ListMetrics")
    bare = head.with_fields(drop=(b"content-type",))
    assert body_wanted(bare, PROFILES["embedded"]) == BODY_MAX
    assert changed(bare, "embedded", b"").body == b"{}"
    assert changed(head, "embedded", body).body == b"{}"


def test_a_compressed_request_is_read() -> None:
    head, body = rpc("cloudwatch", "PutMetricData", **METRIC)
    found = changed(head.with_fields(add=((b"Content-Encoding", b"gzip"),)), "embedded", gzip.compress(body, mtime=0))
    assert found.body == changed(head, "embedded", body).body
    assert found.head.get(b"content-encoding") is None


def test_an_answer_in_json_is_read_by_a_client_that_speaks_cbor() -> None:
    head, body = rpc("cloudwatch", "GetMetricStatistics", **aws_lab.parameters(statistics()))
    found = changed(head, "embedded", body)
    said = b'{"Label":"m","Datapoints":[{"Timestamp":1770091506,"Average":1,"Unit":"None"}]}'
    assert found.answered is not None
    answer = answered(found.answered, classify(head), reply(said), said, now=NOW)
    assert (b"smithy-protocol", b"rpc-v2-cbor") in answer.fields
    assert (b"x-amzn-RequestId", b"an-id") in answer.fields
    assert not [key for key, _ in answer.fields if key.lower() == b"content-length"]
    result = read("cloudwatch", "GetMetricStatistics", answer)
    assert result["Datapoints"] == [{"Timestamp": NOW, "Average": 1.0, "Unit": "None"}]
    assert result["ResponseMetadata"]["RequestId"] == "an-id"


def statistics() -> Any:
    return aws_lab.session().get_service_model("cloudwatch").operation_model("GetMetricStatistics")


def test_an_error_in_json_is_read_by_a_client_that_speaks_cbor() -> None:
    said = b'{"__type":"com.amazonaws.cloudwatch#ResourceNotFound","message":"no dashboard"}'
    head, _ = rpc("cloudwatch", "GetDashboard", DashboardName="d")
    answer = answered(Back.RPC_CBOR, classify(head), reply(said, 404), said, now=NOW)
    error = read("cloudwatch", "GetDashboard", answer)["Error"]
    assert (error["Code"], error["Message"]) == ("ResourceNotFound", "no dashboard")


def test_what_is_no_json_goes_as_it_came() -> None:
    head, _ = rpc("cloudwatch", "ListMetrics")
    answer = answered(Back.RPC_CBOR, classify(head), reply(b"<html>", 500, b"text/html"), b"<html>", now=NOW)
    assert (answer.status, answer.body, answer.fields[0]) == (500, b"<html>", (b"Content-Type", b"text/html"))


@pytest.mark.parametrize("profile", JSON_ONLY)
def test_kinesis_cbor_becomes_its_json(profile: str) -> None:
    item = {"StreamName": "s", "Timestamp": Instant(1770091506250), "Data": b"\x00", "PartitionKey": "p"}
    head, body = kinesis("GetShardIterator", item)
    found = changed(head, profile, body)
    assert found.body == b'{"StreamName":"s","Timestamp":1770091506.25,"Data":"AA==","PartitionKey":"p"}'
    assert found.head.get(b"content-type") == b"application/x-amz-json-1.1"
    assert found.head.get(b"x-amz-target") == b"Kinesis_20131202.GetShardIterator"
    said = b'{"MillisBehindLatest":0,"Records":[{"Data":"AA==","ApproximateArrivalTimestamp":1770091506.25}]}'
    call = classify(kinesis("GetRecords", {})[0])
    assert call.protocol is Protocol.CBOR
    answer = answered(Back.JSON_CBOR, call, reply(said), said, now=NOW)
    assert (b"Content-Type", KINESIS.encode()) in answer.fields
    records = [{"Data": b"\x00", "ApproximateArrivalTimestamp": Instant(1770091506250)}]
    assert cbor.loads(answer.body) == {"MillisBehindLatest": 0, "Records": records}


def test_what_can_not_be_said_in_json_is_refused() -> None:
    head, body = rpc("cloudwatchomni", "ListAccessGrants")
    assert refused(head, "ministack", body).message.startswith(
        "the backend (ministack) does not have cloudwatchomni in CBOR"
    )
    head, body = kinesis("SubscribeToShard", {})
    refusal = refused(head, "ministack", body)
    assert "SubscribeToShard of kinesis in CBOR" in refusal.message


@pytest.mark.parametrize(
    ("coding", "body", "because"),
    [
        (b"identity", b"\xff", "no CBOR"),
        (b"identity", b"\x80", "no map"),
        (b"gzip", b"no gzip at all", "no gzip"),
        (b"gzip", gzip.compress(b"\xa0", mtime=0)[:-3], "no whole gzip"),
    ],
)
def test_a_body_that_can_not_be_read_is_the_callers_mistake(coding: bytes, body: bytes, because: str) -> None:
    head, _ = rpc("cloudwatch", "ListMetrics")
    refusal = refused(head.with_fields(add=((b"Content-Encoding", coding),)), "embedded", body)
    assert (refusal.status, refusal.code) == (400, "SerializationException")
    assert because in refusal.message
    call = classify(head)
    answer = error_answer(call, status=400, code=refusal.code, message=refusal.message, request_id="i")
    assert read("cloudwatch", "ListMetrics", answer)["Error"]["Code"] == "SerializationException"


def test_a_body_that_is_too_long_is_refused() -> None:
    refusal = refused(rpc("cloudwatch", "ListMetrics")[0], "embedded", None)
    assert (refusal.status, refusal.code) == (400, "RequestEntityTooLarge")
    assert str(BODY_MAX) in refusal.message


@given(st.binary(max_size=60), st.sampled_from([b"gzip", b"identity"]), st.booleans())
def test_any_body_is_said_in_json_or_refused(body: bytes, coding: bytes, java: bool) -> None:  # noqa: FBT001 - drawn
    head, _ = kinesis("ListStreams", {}) if java else rpc("cloudwatch", "ListMetrics")
    found = outcome(head.with_fields(add=((b"Content-Encoding", coding),)), "embedded", body)
    if isinstance(found, Changed):
        assert isinstance(json.loads(found.body or b""), dict)
    else:
        assert isinstance(found, Refusal)


QUEUE = "https://sqs.eu-west-1.amazonaws.com/000000000000/q?Action=SendMessage&MessageBody=a+b%26c&Version=2012-11-05"


@pytest.mark.parametrize("profile", ["embedded", "moto-server", "generic"])
def test_a_query_by_get_becomes_a_post(profile: str) -> None:
    found = changed(aws_lab.get_head(QUEUE), profile)
    assert found.body == QUEUE.partition("?")[2].encode()
    assert (found.head.method, found.head.target) == (b"POST", b"/000000000000/q")
    assert (found.head.get(b"content-type") or b"").startswith(b"application/x-www-form-urlencoded")
    assert found.head.get(b"content-length") == str(len(found.body or b"")).encode()
    scope = from_header((found.head.get(b"authorization") or b"").decode())
    assert (scope.region, scope.service) == ("eu-west-1", "sqs")
    assert found.answered is None


def test_a_query_by_get_has_no_body_of_its_own() -> None:
    refusal = refused(aws_lab.get_head(QUEUE), "moto-server", None)
    assert (refusal.status, refusal.code) == (400, "MalformedRequest")


@pytest.mark.parametrize("profile", ["localstack", "ministack"])
def test_a_query_by_get_stays_where_it_is_understood(profile: str) -> None:
    found = outcome(aws_lab.get_head(QUEUE), profile)
    assert isinstance(found, RequestHead)
    assert (found.method, found.target) == (b"GET", QUEUE.partition(".com")[2].encode())


def test_an_eks_token_reaches_sts_by_its_credential() -> None:
    url = aws_lab.client("sts", "eu-west-1").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    head = aws_lab.get_head(url, b"GET", (b"x-k8s-aws-id", b"cluster"))
    found = changed(head, "moto-server")
    scope = from_header((found.head.get(b"authorization") or b"").decode())
    assert (scope.access_key, scope.region, scope.service) == ("AKIDEXAMPLE", "eu-west-1", "sts")
    assert parse_qs((found.body or b"").decode())["Action"] == ["GetCallerIdentity"]


PAGE = b"<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>"
UNSUPPORTED = b'{"error": "Unsupported service: glacier"}'


@pytest.mark.parametrize(
    ("profile", "status", "content", "body"),
    [
        ("moto-server", 500, b"text/html; charset=utf-8", PAGE),
        ("moto-server", 404, b"text/html; charset=utf-8", PAGE),
        ("generic", 500, b"text/html", b"<!DOCTYPE html><html>"),
        ("ministack", 400, b"application/json", UNSUPPORTED),
    ],
)
def test_a_backends_own_way_of_saying_no_is_recognised(profile: str, status: int, content: bytes, body: bytes) -> None:
    call = classify(aws_lab.sent(aws_lab.client("glacier", "eu-west-1"), "ListVaults").head)
    head = reply(body, status, content)
    assert is_doubtful(call, head, PROFILES[profile])
    refusal = unserved(call, head, body, PROFILES[profile])
    assert refusal is not None
    assert (refusal.status, refusal.code) == (501, "NotImplemented")
    assert f"({profile}) does not have ListVaults of glacier" in refusal.message


@pytest.mark.parametrize(
    ("profile", "status", "content", "body"),
    [
        ("moto-server", 500, b"application/json", b"{}"),
        ("moto-server", 403, b"text/html", b""),
        ("moto-server", 200, b"text/html", PAGE),
        ("ministack", 400, b"application/json", b'{"__type": "ValidationException"}'),
        ("localstack", 500, b"text/html", PAGE),
        ("embedded", 500, b"text/html", PAGE),
    ],
)
def test_other_errors_are_the_services(profile: str, status: int, content: bytes, body: bytes) -> None:
    call = classify(aws_lab.sent(aws_lab.client("glacier", "eu-west-1"), "ListVaults").head)
    assert unserved(call, reply(body, status, content), body, PROFILES[profile]) is None


def test_pages_of_customers_own_functions_are_theirs() -> None:
    call = classify(aws_lab.get_head("https://x.lambda-url.eu-west-1.on.aws/"))
    assert not is_doubtful(call, reply(PAGE, 500, b"text/html"), PROFILES["moto-server"])
