"""What the emulator does not have, and whatever breaks in moto, is an error in the caller's own protocol."""

import json

import pytest
from botocore.exceptions import ClientError
from botocore.model import StructureShape
from botocore.parsers import create_parser
from emulator_lab import Emulator

JSON = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Thing_1.DoThing"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_unknown_service_as_boto3_sees_it(emulator: Emulator) -> None:
    with pytest.raises(ClientError) as error:
        emulator.client("braket").search_jobs(filters=[])
    assert error.value.response["Error"]["Code"] == "NotImplementedException"
    assert "braket.us-east-1.amazonaws.com" in error.value.response["Error"]["Message"]
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_unknown_operation_of_a_known_service(emulator: Emulator) -> None:
    with pytest.raises(ClientError) as error:
        emulator.client("sqs").list_message_move_tasks(SourceArn="arn:aws:sqs:us-east-1:000000000000:q")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 501}
    status, _, body = emulator.ask("POST", "https://dynamodb.us-east-1.amazonaws.com/", b"{}", JSON)
    assert status == 501
    assert json.loads(body)["__type"] == "NotImplementedException"


@pytest.mark.parametrize("body", [b"{bad json", b"[1]", b"\xff", b'"text"'])
def test_a_body_that_is_no_json_is_the_callers_mistake(emulator: Emulator, body: bytes) -> None:
    asked = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.CreateQueue"}
    status, _, told = emulator.ask("POST", "https://sqs.us-east-1.amazonaws.com/", body, asked)
    assert status == 400
    assert json.loads(told)["__type"].endswith("SerializationException")


@pytest.mark.parametrize(
    ("host", "headers", "body", "media", "start"),
    [
        pytest.param("nothing.us-east-1.amazonaws.com", JSON, b"{}", "application/x-amz-json-1.1", b"{", id="JSON"),
        pytest.param("nothing.us-east-1.amazonaws.com", {}, b"", "application/json", b"{", id="REST JSON"),
        pytest.param("nothing.us-east-1.amazonaws.com", FORM, b"Action=A", "text/xml", b"<ErrorResponse ", id="query"),
        pytest.param("b.s3-object-lambda.us-east-1.amazonaws.com", {}, b"", "application/xml", b"<?xml", id="S3"),
    ],
)
def test_refusals_speak_the_callers_protocol(
    *, emulator: Emulator, host: str, headers: dict[str, str], body: bytes, media: str, start: bytes
) -> None:
    status, found, text = emulator.ask("POST", f"https://{host}/", body, headers)
    assert status == 501
    assert found["content-type"] == media
    assert text.startswith(start)
    assert host.encode() in text


QUERIED = {
    "sns.us-east-1": "query", "iam": "query", "sts": "query", "cloudformation.us-east-1": "query",
    "elasticloadbalancing.us-east-1": "query", "rds.us-east-1": "query", "ec2.us-east-1": "ec2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "host", "headers", "protocol", "code"),
    [
        *[
            pytest.param(method, host, headers, protocol, "MissingAction", id=f"{host}, {form}")
            for host, protocol in QUERIED.items()
            for form, method, headers in (("nothing", "POST", {}), ("GET", "GET", {}), ("a form", "POST", FORM))
        ],
        *[
            pytest.param(method, f"{name}.us-east-1", {}, "json", "UnknownOperationException", id=f"{name}, {method}")
            for name in ("sqs", "dynamodb", "ssm", "kinesis", "ecs", "monitoring")
            for method in ("GET", "POST")
        ],
        pytest.param("POST", "sqs.us-east-1", FORM, "query", "MissingAction", id="sqs, a form"),
        pytest.param("POST", "monitoring.us-east-1", FORM, "query", "MissingAction", id="monitoring, a form"),
    ],
)
def test_a_request_that_names_no_operation(
    *, emulator: Emulator, method: str, host: str, headers: dict[str, str], protocol: str, code: str
) -> None:
    body = b"Version=2012-11-05" if headers else b""
    status, found, text = emulator.ask(method, f"https://{host}.amazonaws.com/", body, headers)
    answer = {"status_code": status, "headers": dict(found), "body": text}
    told = create_parser(protocol).parse(answer, StructureShape("Nothing", {"type": "structure"}))
    assert (status, told["Error"]["Code"]) == (400, code)
    assert told["Error"]["Message"].startswith("the request has no ")
    assert told["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("host", ["example.com", "s3.amazonaws.com.evil.example", "127.0.0.1"])
def test_other_names_get_no_bucket_list(emulator: Emulator, host: str) -> None:
    status, headers, text = emulator.ask("GET", f"http://{host}/")
    assert status == 400
    assert headers["x-amzn-errortype"] == "InvalidHost"
    assert host.encode() in text


def test_health(emulator: Emulator) -> None:
    assert emulator.ask("GET", "http://127.0.0.1/_kecs/health")[::2] == (200, b'{"status":"running"}')


def test_what_breaks_in_moto_is_a_500_that_says_so(emulator: Emulator) -> None:
    body = b"Action=DescribeLoadBalancers&Version=1999-01-01"
    status, _, text = emulator.ask("POST", "https://elasticloadbalancing.us-east-1.amazonaws.com/", body, FORM)
    assert status == 500
    assert b"<Code>InternalFailure</Code>" in text
    assert b"Unknown ELB API version" in text


def test_keep_alive_survives_errors(emulator: Emulator) -> None:
    status, headers, _ = emulator.ask("GET", "https://nothing.us-east-1.amazonaws.com/")
    assert status == 501
    assert headers.get("connection", "keep-alive") == "keep-alive"
