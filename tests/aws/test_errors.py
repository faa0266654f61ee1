import json
from typing import Any

import aws_lab
import botocore.awsrequest
import botocore.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer, extended_request_id
from kecs.aws.head import Answer

TEXT = st.text(st.characters(exclude_categories=()))  # half characters too: texts of errors may come from file names
MESSAGE = 'emulator unreachable: http://127.0.0.1:4566 <refused> & "gone"'

SPEAKERS = [
    pytest.param("ecs", "ListClusters", id="json 1.1"),
    pytest.param("dynamodb", "ListTables", id="json 1.0"),
    pytest.param("sqs", "ListQueues", id="json with query-compatible errors"),
    pytest.param("cloudwatch", "ListMetrics", id="cloudwatch, in whatever it speaks"),
    pytest.param("lambda", "ListFunctions", id="rest-json"),
    pytest.param("route53", "ListHostedZones", id="rest-xml"),
    pytest.param("cloudfront", "ListDistributions", id="rest-xml of CloudFront"),
    pytest.param("s3", "ListBuckets", id="rest-xml of S3"),
    pytest.param("s3control", "ListJobs", id="rest-xml of S3 Control"),
    pytest.param("elbv2", "DescribeLoadBalancers", id="query"),
    pytest.param("sts", "GetCallerIdentity", id="query of STS"),
    pytest.param("ec2", "DescribeInstances", id="ec2"),
    pytest.param("cloudwatchomni", "ListAccessGrants", id="cbor"),
]


class _Raw:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self.body]


def shown(service: str, operation: str, answer: Answer) -> botocore.exceptions.ClientError:
    """Return the error that botocore's client makes of an answer."""
    made = aws_lab.client(service, "eu-west-1")
    headers: Any = {name.decode(): value.decode() for name, value in answer.fields}
    raw = botocore.awsrequest.AWSResponse("https://aws", answer.status, headers, _Raw(answer.body))
    with aws_lab.stubbed(made, raw), pytest.raises(botocore.exceptions.ClientError) as caught:
        made._make_api_call(operation, aws_lab.parameters(made.meta.service_model.operation_model(operation)))
    return caught.value


def asked(service: str, operation: str) -> Call:
    sent = aws_lab.sent(aws_lab.client(service, "eu-west-1"), operation)
    return classify(sent.head, body=sent.body)


@pytest.mark.parametrize(("service", "operation"), SPEAKERS)
def test_botocore_shows_code_and_message_of_an_outage(service: str, operation: str) -> None:
    call = asked(service, operation)
    answer = error_answer(call, status=503, code="ServiceUnavailable", message=MESSAGE, request_id="abc-123")
    error = shown(service, operation, answer)
    assert error.response["Error"]["Message"] == MESSAGE
    assert error.response["Error"]["Code"] in {"ServiceUnavailable", "ServiceUnavailableException", "Unavailable"}
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert error.response["ResponseMetadata"]["RequestId"] == "abc-123"


@pytest.mark.parametrize(("service", "operation"), SPEAKERS)
def test_botocore_shows_the_code_of_a_refusal_as_it_is(service: str, operation: str) -> None:
    answer = error_answer(asked(service, operation), status=400, code="InvalidAction", message="no", request_id="i")
    assert shown(service, operation, answer).response["Error"]["Code"] == "InvalidAction"


def call(protocol: Protocol, service: str = "any", *, query_compatible: bool = False) -> Call:
    return Call(
        service=service,
        region="eu-west-1",
        operation="",
        protocol=protocol,
        host="any.eu-west-1.amazonaws.com",
        query_compatible=query_compatible,
    )


@pytest.mark.parametrize("protocol", Protocol)
def test_an_answer_to_head_has_the_same_fields_and_no_body(protocol: Protocol) -> None:
    whole = error_answer(call(protocol), status=503, code="X", message="m", request_id="i")
    bare = error_answer(call(protocol), status=503, code="X", message="m", request_id="i", head_only=True)
    assert (bare.status, bare.fields, bare.body) == (whole.status, whole.fields, b"")
    assert whole.body


def test_query_compatible_clients_learn_whose_fault_it_is() -> None:
    for protocol in (Protocol.JSON, Protocol.CBOR):
        for status, side in ((503, b"Receiver"), (400, b"Sender")):
            answer = error_answer(
                call(protocol, query_compatible=True), status=status, code="X", message="m", request_id="i"
            )
            assert dict(answer.fields)[b"x-amzn-query-error"] == b"X;" + side


def test_s3_is_told_the_ids_it_prints() -> None:
    answer = error_answer(call(Protocol.REST_XML, "s3"), status=503, code="X", message="m", request_id="i")
    fields = dict(answer.fields)
    assert fields[b"x-amz-request-id"] == b"i"
    assert fields[b"x-amz-id-2"].decode() == extended_request_id("i")
    assert len(extended_request_id("i")) == 76
    assert extended_request_id("i").encode() in answer.body


def test_codes_that_name_an_exception_are_kept() -> None:
    answer = error_answer(call(Protocol.JSON), status=500, code="InternalFailureError", message="m", request_id="i")
    assert json.loads(answer.body)["__type"] == "InternalFailureError"


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65535, 65536])
def test_cbor_texts_of_every_length(size: int) -> None:
    answer = error_answer(
        call(Protocol.CBOR, "cloudwatchomni"), status=503, code="X", message="m" * size, request_id="i"
    )
    assert shown("cloudwatchomni", "ListAccessGrants", answer).response["Error"]["Message"] == "m" * size


@given(st.sampled_from(Protocol), TEXT, TEXT, TEXT)
def test_any_text_gives_one_answer_whose_fields_are_single_lines(
    protocol: Protocol, code: str, message: str, request_id: str
) -> None:
    answer = error_answer(
        call(protocol, "s3" if protocol is Protocol.REST_XML else "any", query_compatible=True),
        status=503,
        code=code,
        message=message,
        request_id=request_id,
    )
    assert all(0x20 <= byte < 0x7F for _, value in answer.fields for byte in value)
    assert answer.body
