"""botocore as the oracle: its clients make requests, which are taken from them before they are sent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.model import OperationModel, Shape, StructureShape

from kecs.aws.head import RequestHead

_DEPTH_LIMIT = 8
_TEXTS = {
    "AccountId": "123456789012",
    "accountId": "123456789012",
    "TransferAccountId": "123456789012",
    "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/some",
    "KvsARN": "arn:aws:cloudfront::123456789012:key-value-store/some",
    "Bucket": "some-bucket",
    "RequestRoute": "route",
    "ResourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/some",
    "PredictEndpoint": "https://realtime.machinelearning.us-east-1.amazonaws.com",
    "graphIdentifier": "g-some",
    "EndpointId": "abcdef1234.abc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a client would have sent."""

    head: RequestHead
    body: bytes
    url: str


class _TakenError(Exception):
    """Carries the request out of the client, which would otherwise retry or parse."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__(request.url)
        self.request = request


def _take(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
    raise _TakenError(request)


@cache
def session() -> botocore.session.Session:
    """Return one session: loaded models are kept in it. It reads no files and no variables of the machine."""
    made = botocore.session.Session()
    made.set_config_variable("config_file", os.devnull)
    made.set_config_variable("credentials_file", os.devnull)
    made.set_credentials("AKIDEXAMPLE", "secret")
    return made


def client(service: str, region: str, *, unsigned: bool = False, **config: Any) -> BaseClient:
    """Return a client whose requests are raised instead of sent."""
    signature = {"signature_version": botocore.UNSIGNED} if unsigned else {}
    made = session().create_client(
        service,
        region_name=region,
        config=Config(
            endpoint_discovery_enabled=False,
            retries={"total_max_attempts": 1},
            parameter_validation=True,
            **signature,
            **config,
        ),
    )
    made.meta.events.register_first("before-send", _take)
    return made


def value(shape: Shape, name: str = "", depth: int = 0) -> Any:
    """Return the smallest value of a shape that botocore takes."""
    match shape.type_name:
        case "structure":
            return structure(shape, depth + 1)
        case "list":
            size = max(int(shape.metadata.get("min", 0)), 1) if depth < _DEPTH_LIMIT else 0
            return [value(shape.member, depth=depth + 1)] * size
        case "map":
            return {}
        case "string":
            smallest = int(shape.metadata.get("min", 0))
            return _TEXTS.get(name) or next(iter(shape.enum), "") or "a" * max(smallest, 3)
        case "integer" | "long" | "float" | "double":
            return max(int(shape.metadata.get("min", 1)), 1)
        case "boolean":
            return True
        case "timestamp":
            return 0
        case "blob":
            return b"blob"
    raise AssertionError(shape.type_name)


def structure(shape: StructureShape, depth: int = 0) -> dict[str, Any]:
    """Return a structure's required members; of a union, the first."""
    if depth > _DEPTH_LIMIT:  # shapes may hold themselves
        return {}
    names = list(shape.members)[:1] if getattr(shape, "is_tagged_union", False) else shape.required_members
    return {
        name: value(shape.members[name], name, depth)
        for name in names
        if not (shape.members[name].type_name == "structure" and getattr(shape.members[name], "is_eventstream", False))
    }


def parameters(operation: OperationModel) -> dict[str, Any]:
    """Return the smallest input of an operation."""
    return {} if operation.input_shape is None else structure(operation.input_shape)


def sent(made: BaseClient, operation: str, **given: Any) -> Sent:
    """Return what the client would have sent for the operation, with its required parameters made up."""
    model = made.meta.service_model.operation_model(operation)
    try:
        made._make_api_call(operation, parameters(model) | given)
    except _TakenError as taken:
        return from_prepared(taken.request)
    raise AssertionError(operation)


def from_prepared(request: Any) -> Sent:
    """Turn botocore's prepared request into what stands on the wire."""
    url = urlsplit(request.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = [(b"Host", url.netloc.encode())]
    for key, content in request.headers.items():
        fields.append((key.encode(), content if isinstance(content, bytes) else str(content).encode()))
    body = request.body
    if hasattr(body, "read"):
        body = body.read()
    return Sent(
        head=RequestHead(method=request.method.encode(), target=target.encode(), fields=tuple(fields)),
        body=body.encode() if isinstance(body, str) else bytes(body or b""),
        url=request.url,
    )


def get_head(url: str, method: bytes = b"GET", *fields: tuple[bytes, bytes]) -> RequestHead:
    """Return the head of a plain request for a URL."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return RequestHead(method=method, target=target.encode(), fields=((b"Host", parts.netloc.encode()), *fields))


@contextmanager
def stubbed(made: BaseClient, answer: AWSResponse) -> Iterator[None]:
    """Let the client receive this answer instead of sending."""
    made.meta.events.unregister("before-send", _take)

    def reply(**_: Any) -> AWSResponse:
        return answer

    made.meta.events.register_first("before-send", reply)
    try:
        yield
    finally:
        made.meta.events.unregister("before-send", reply)
