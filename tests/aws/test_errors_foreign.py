"""Errors of backends in forms that the service's clients can't read: botocore reads what becomes of them."""

import gzip
import json
from typing import Any

import aws_lab
import pytest
from botocore import parsers
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.errors import error_answer
from kecs.aws.errors_foreign import BODY_MAX, looked_at, mended, mended_unseen
from kecs.aws.head import Answer, Fields, ResponseHead
from kecs.aws.profiles import PROFILES

PAGE_500 = b"""<!doctype html>
<html lang=en><head><title>500 Internal Server Error</title><style>p { color: red }</style></head>
<body><h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request.</p></body></html>"""
PAGE_404 = b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1><p>The requested URL was not found.</p>"
UNEMULATED = (
    "The API action 'ListClusters' for service 'eks' is either not available in your current license plan or has not "
    "yet been emulated by LocalStack. Please refer to https://docs.localstack.cloud/references/coverage for more."
)
SPEAKERS = {
    Protocol.JSON: ("dynamodb", "json"),
    Protocol.REST_JSON: ("eks", "rest-json"),
    Protocol.REST_XML: ("s3", "rest-xml"),
    Protocol.QUERY: ("iam", "query"),
    Protocol.EC2: ("ec2", "ec2"),
    Protocol.CBOR: ("cloudwatch", "smithy-rpc-v2-cbor"),
}


def call(protocol: Protocol, service: str = "", *, host: str = "", operation: str = "ListClusters") -> Call:
    name = service or SPEAKERS[protocol][0]
    host = host or f"{name}.eu-west-1.amazonaws.com"
    return Call(service=name, region="eu-west-1", operation=operation, protocol=protocol, host=host)


def head(status: int, content_type: str = "", *fields: tuple[bytes, bytes]) -> ResponseHead:
    typed: Fields = ((b"Content-Type", content_type.encode()),) if content_type else ()
    return ResponseHead(status=status, reason=b"", fields=typed + fields)


def fixed(asked: Call, told: ResponseHead, body: bytes, profile: str = "localstack") -> Answer | None:
    return mended(asked, told, body, profile=PROFILES[profile], request_id="r-1")


def read(asked: Call, answer: Answer) -> tuple[int, str, str]:
    """Return status, code and message as botocore's parser finds them."""
    service, protocol = SPEAKERS[asked.protocol]
    model = aws_lab.session().get_service_model(service)
    shape: Any = model.operation_model(model.operation_names[0]).output_shape
    headers = {name.decode().lower(): value.decode() for name, value in answer.fields}
    parsed = parsers.create_parser(protocol).parse(
        {"status_code": answer.status, "headers": headers, "body": answer.body}, shape
    )
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"
    return answer.status, parsed["Error"]["Code"].removesuffix("Exception"), parsed["Error"]["Message"]


def found(asked: Call, told: ResponseHead, body: bytes, profile: str = "localstack") -> tuple[int, str, str]:
    answer = fixed(asked, told, body, profile)
    assert answer is not None
    return read(asked, answer)


@pytest.mark.parametrize("protocol", Protocol)
def test_a_page_becomes_an_error_with_what_it_says(protocol: Protocol) -> None:
    status, code, message = found(call(protocol), head(500, "text/html; charset=utf-8"), PAGE_500)
    assert (status, code) == (500, "InternalFailure")
    assert "Internal Server Error The server encountered an internal error" in message
    assert "<" not in message
    assert "color" not in message


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("told", "body"),
    [
        pytest.param(head(404, "text/html"), PAGE_404, id="a page for what is not routed"),
        pytest.param(head(404), b"", id="nothing"),
        pytest.param(head(405, "text/plain"), b"Method Not Allowed", id="another method"),
        pytest.param(head(400, "text/plain"), b"Unsupported service: eks", id="a plain text"),
        pytest.param(head(500, "text/html"), b"<p>The action has not been implemented</p>", id="a page, with 500"),
        pytest.param(head(501, "text/plain"), b"no", id="501"),
        pytest.param(head(400, "application/json"), b'{"message": "unknown service"}', id="JSON without a code"),
    ],
)
def test_what_the_backend_does_not_have_is_501_that_names_both(
    protocol: Protocol, told: ResponseHead, body: bytes
) -> None:
    status, code, message = found(call(protocol), told, body)
    assert (status, code) == (501, "NotImplemented")
    service = SPEAKERS[protocol][0]
    assert message == f"the backend (localstack) does not have ListClusters of {service}; another backend may"


@pytest.mark.parametrize("protocol", Protocol)
def test_a_refusal_that_names_the_product_is_told_in_our_words(protocol: Protocol) -> None:
    own = error_answer(call(protocol), status=501, code="InternalFailure", message=UNEMULATED, request_id="x")
    told = ResponseHead(status=501, reason=b"", fields=own.fields)
    asked = call(protocol)
    if protocol is Protocol.CBOR:  # it is read as a map, no further
        assert fixed(asked, told, own.body) is None
        return
    status, code, message = found(asked, told, own.body)
    assert (status, code) == (501, "NotImplemented")
    assert "has not yet been emulated" not in message


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("status", [400, 404, 500, 501, 503])
def test_an_error_in_the_services_form_stays_as_it_is(protocol: Protocol, status: int) -> None:
    own = error_answer(call(protocol), status=status, code="SomeFault", message="not supported here", request_id="x")
    assert fixed(call(protocol), ResponseHead(status=status, reason=b"", fields=own.fields), own.body) is None


@pytest.mark.parametrize("protocol", [one for one in Protocol if one is not Protocol.REST_JSON])
@pytest.mark.parametrize("other", [Protocol.JSON, Protocol.QUERY])
def test_code_and_message_of_another_form_are_kept(protocol: Protocol, other: Protocol) -> None:
    said = error_answer(call(other), status=400, code="QueueDoesNotExist", message="no such queue", request_id="x")
    answer = fixed(call(protocol), ResponseHead(status=400, reason=b"", fields=said.fields), said.body)
    if answer is None:  # that form is the service's too
        assert (protocol, other) in {
            (Protocol.JSON, Protocol.JSON), (Protocol.QUERY, Protocol.QUERY), (Protocol.REST_XML, Protocol.QUERY)
        }  # fmt: skip
        return
    assert read(call(protocol), answer) == (400, "QueueDoesNotExist", "no such queue")


def test_a_code_says_why_so_its_message_is_no_lack() -> None:
    body = json.dumps({"__type": "com.amazonaws#InvalidParameterValue", "message": "Unsupported engine"}).encode()
    assert found(call(Protocol.QUERY), head(400, "application/json"), body) == (
        400, "InvalidParameterValue", "Unsupported engine"
    )  # fmt: skip


@pytest.mark.parametrize("protocol", [Protocol.JSON, Protocol.REST_JSON, Protocol.QUERY])
def test_an_error_of_s3_is_no_answer_of_another_service(protocol: Protocol) -> None:
    body = b"<?xml version='1.0'?><Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"
    assert found(call(protocol), head(404, "application/xml"), body)[:2] == (501, "NotImplemented")


def test_the_code_may_stand_in_the_head() -> None:
    told = head(404, "application/json", (b"x-amzn-ErrorType", b"ResourceNotFoundException:http://internal/"))
    assert fixed(call(Protocol.REST_JSON), told, b'{"message": "no cluster"}') is None
    assert found(call(Protocol.QUERY), told, b'{"message": "no cluster"}') == (404, "ResourceNotFound", "no cluster")


@pytest.mark.parametrize("protocol", Protocol)
def test_json_without_a_code_is_what_clients_of_rest_json_read(protocol: Protocol) -> None:
    answer = fixed(call(protocol), head(400, "application/json"), b'{"message": "no such version"}')
    assert (answer is None) is (protocol is Protocol.REST_JSON)


def test_json_without_a_code_is_told_anew_when_it_names_the_backend() -> None:
    body = b'{"message": "see http://q.localhost.localstack.cloud:4566/x"}'
    assert fixed(call(Protocol.REST_JSON), head(400, "application/json"), body, "localstack") is not None


def test_ec2s_clients_need_ec2s_form() -> None:
    query = error_answer(call(Protocol.QUERY), status=400, code="InvalidVpcID", message="no", request_id="x")
    told = ResponseHead(status=400, reason=b"", fields=query.fields)
    assert found(call(Protocol.EC2), told, query.body) == (400, "InvalidVpcID", "no")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("failed at http://q.localhost.localstack.cloud:4566/x", id="a name of the backend's"),
        pytest.param("Traceback: /usr/lib/moto/core.py", id="a product"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_names_the_backend_is_not_told(text: str) -> None:
    status, code, message = found(call(Protocol.QUERY), head(500, "text/plain"), text.encode())
    assert (status, code) == (500, "InternalFailure")
    assert message == "the backend (localstack) answered 500 without a reason that can be told"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(gzip.compress(PAGE_404), (501, "NotImplemented"), id="a page"),
        pytest.param(gzip.compress(b'{"__type": "Known", "message": "m"}'), (404, "Known"), id="another form"),
        pytest.param(b"\x1f\x8b", (501, "NotImplemented"), id="broken"),
    ],
)
def test_compressed_errors_are_read(body: bytes, expected: tuple[int, str]) -> None:
    assert found(call(Protocol.QUERY), head(404, "", (b"Content-Encoding", b"gzip")), body)[:2] == expected


def test_compressed_errors_in_the_right_form_stay_compressed() -> None:
    body = gzip.compress(b'{"__type": "Known", "message": "m"}')
    assert fixed(call(Protocol.JSON), head(404, "", (b"Content-Encoding", b"gzip")), body) is None


def test_messages_are_bounded() -> None:
    message = found(call(Protocol.JSON), head(400, "text/plain"), b"word " * 10_000)[2]
    assert 200 < len(message) <= 300
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        pytest.param(call(Protocol.JSON), 400, True, id="an error"),
        pytest.param(call(Protocol.JSON), 200, False, id="no error"),
        pytest.param(call(Protocol.JSON), 304, False, id="not modified"),
        pytest.param(call(Protocol.REST_JSON, "execute-api"), 500, False, id="a customer's API"),
        pytest.param(call(Protocol.REST_JSON, "lambda-url"), 500, False, id="a customer's function"),
        pytest.param(call(Protocol.REST_XML, "s3"), 404, True, id="S3"),
        pytest.param(
            call(Protocol.REST_XML, "s3", host="b.s3-website-us-east-1.amazonaws.com"), 404, False, id="a website"
        ),
    ],
)
def test_which_answers_are_looked_at(asked: Call, status: int, *, expected: bool) -> None:
    assert looked_at(asked, status) is expected


def test_a_page_that_is_too_long_is_replaced_by_its_type() -> None:
    profile = PROFILES["moto-server"]
    asked = call(Protocol.QUERY)
    page = mended_unseen(asked, head(500, "text/html"), profile=profile, request_id="r-1")
    assert page is not None
    assert read(asked, page)[:2] == (500, "InternalFailure")
    assert mended_unseen(asked, head(500, "text/xml"), profile=profile, request_id="r-1") is None
    assert BODY_MAX >= 65536


def test_browsers_may_read_it() -> None:
    allowed = (b"Access-Control-Allow-Origin", b"*")
    answer = fixed(call(Protocol.JSON), head(500, "text/html", allowed, (b"X-Other", b"1")), PAGE_500)
    assert answer is not None
    assert allowed in answer.fields
    assert b"X-Other" not in dict(answer.fields)


@given(st.sampled_from(Protocol), st.integers(400, 599), st.binary(max_size=400), st.binary(max_size=60))
def test_any_bytes_give_an_error_that_can_be_read_or_stay(
    protocol: Protocol, status: int, body: bytes, content_type: bytes
) -> None:
    told = ResponseHead(status=status, reason=b"", fields=((b"Content-Type", content_type),))
    answer = fixed(call(protocol), told, body)
    if answer is not None:
        assert read(call(protocol), answer)[0] in {status, 501}


@pytest.mark.parametrize("piece", [b"<script", b"<Message>", b"<Code> ", b"<", b'{"a":', b"<!--", b" ", b"[{"])
def test_long_bodies_of_one_piece_are_read_in_linear_time(piece: bytes) -> None:
    fixed(call(Protocol.QUERY), head(500), piece * (BODY_MAX // len(piece)))
