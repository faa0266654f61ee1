"""Errors of every service in every protocol it speaks, judged by botocore: its parsers and both its retry handlers."""

from collections.abc import Callable
from functools import cache
from typing import Any

import aws_lab
import pytest
from botocore import parsers, retryhandler, serialize, translate
from botocore.awsrequest import AWSResponse
from botocore.model import OperationModel, ServiceModel
from botocore.retries import standard

from kecs.aws.call import Protocol
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, RequestHead

MESSAGE = 'emulator unreachable: http://127.0.0.1:4566 <refused> & "gone" é'
REQUEST_ID = "f4b2c7a0-1d2e-4f3a-9b8c-7d6e5f4a3b2c"
PROTOCOLS = {
    "json": Protocol.JSON,
    "rest-json": Protocol.REST_JSON,
    "rest-xml": Protocol.REST_XML,
    "query": Protocol.QUERY,
    "ec2": Protocol.EC2,
    "smithy-rpc-v2-cbor": Protocol.CBOR,
}
FAULTS = (
    # status, code, whether a client is to try again
    (503, "ServiceUnavailable", True),
    (502, "BadGateway", True),
    (504, "GatewayTimeout", True),
    (501, "NotImplemented", False),
    (500, "InternalFailure", True),
    (400, "BadRequest", False),
    (400, "SerializationException", False),
    (413, "EntityTooLarge", False),
    (403, "AccessDenied", False),
    (404, "NotFound", False),
    (421, "MisdirectedRequest", False),
    (431, "RequestHeaderSectionTooLarge", False),
)
SPOKEN = [
    pytest.param(name, protocol, id=f"{name} in {protocol}")
    for name in aws_lab.session().get_available_services()
    for protocol in aws_lab.protocols(name)
]


def operation_of(model: ServiceModel) -> OperationModel:
    """Return an operation whose path holds no parameter, where there is one."""
    names = model.operation_names
    plain = [name for name in names if "{" not in model.operation_model(name).http["requestUri"]]
    return model.operation_model((plain or names)[0])


def asked(model: ServiceModel, operation: OperationModel, protocol: str) -> RequestHead:
    """Return the head that botocore's serializer for this protocol makes."""
    made: dict[str, Any] = serialize.create_serializer(protocol, include_validation=False).serialize_to_request(
        aws_lab.parameters(operation), operation
    )
    fields = [(b"Host", f"{model.endpoint_prefix}.eu-west-1.amazonaws.com".encode())]
    fields += [(key.encode(), str(value).encode()) for key, value in made["headers"].items()]
    if model.is_query_compatible:
        fields.append((b"x-amzn-query-mode", b"true"))
    scope = f"AKIDEXAMPLE/20260101/eu-west-1/{model.signing_name}/aws4_request"
    fields.append((b"Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0".encode()))
    body = made["body"]
    query = "?" + "&".join(f"{key}={body[key]}" for key in ("Action", "Version")) if isinstance(body, dict) else ""
    target = made["url_path"] + query
    return RequestHead(method=made["method"].encode(), target=target.encode(), fields=tuple(fields))


@cache
def legacy(endpoint_prefix: str) -> Callable[..., float | None]:
    """Return the handler that a client of botocore's legacy mode, such as the CLI's, has: a delay, or no retry."""
    data: dict[str, Any] = aws_lab.session().get_component("data_loader").load_data("_retry")
    config = translate.build_retry_config(endpoint_prefix, data["retry"], data["definitions"])
    handler: Callable[..., float | None] = retryhandler.create_retry_handler(config, endpoint_prefix)
    return handler


def retried(model: ServiceModel, operation: OperationModel, answer: Answer, parsed: dict[str, Any]) -> set[bool]:
    """Return what both retry handlers say of an answer."""
    headers: Any = {name.decode(): value.decode() for name, value in answer.fields}
    raw = AWSResponse("https://aws", answer.status, headers, None)
    context = standard.RetryContext(
        attempt_number=1, operation_model=operation, parsed_response=parsed, http_response=raw
    )
    modern = standard.StandardRetryConditions(max_attempts=3).is_retryable(context)
    delay = legacy(model.endpoint_prefix)(
        attempts=1, response=(raw, parsed), caught_exception=None, request_dict={"context": {}}
    )
    return {bool(modern), delay is not None}


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_botocore_shows_and_judges_every_error(service: str, protocol: str) -> None:
    model = aws_lab.session().get_service_model(service)
    operation = operation_of(model)
    call = classify(asked(model, operation, protocol))
    assert call.protocol is PROTOCOLS[protocol]  # the service may be one that shares its host
    parser = parsers.create_parser(protocol)
    for status, code, again in FAULTS:
        answer = error_answer(call, status=status, code=code, message=MESSAGE, request_id=REQUEST_ID)
        headers = {name.decode().lower(): value.decode() for name, value in answer.fields}
        shape: Any = operation.output_shape
        parsed = parser.parse({"status_code": status, "headers": headers, "body": answer.body}, shape)
        error, metadata = parsed["Error"], parsed["ResponseMetadata"]
        assert error["Message"] == MESSAGE
        assert error["Code"].removesuffix("Exception") in {code.removesuffix("Exception"), "Unavailable"}
        assert (metadata["HTTPStatusCode"], metadata["RequestId"]) == (status, REQUEST_ID)
        assert retried(model, operation, answer, parsed) == {again}, (status, code)


def test_every_protocol_of_botocore_is_among_them() -> None:
    assert {
        protocol for name in aws_lab.session().get_available_services() for protocol in aws_lab.protocols(name)
    } == (set(PROTOCOLS))
