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
from botocore.config import Config
from botocore.model import OperationModel

from kecs.aws.head import RequestHead

_DEPTH_LIMIT = 8
_UNSIGNED = ("account-access-runtime", "codecatalyst", "cloudfront-keyvaluestore")
"""Services that want a token of a person, or a signer which is no Python."""
_DISCOVERED = {"timestream-query": "query.timestream", "timestream-write": "ingest.timestream"}
"""Services whose clients ask for an endpoint first, unless they are given one."""
_TEXTS = {
    "AccountId": "123456789012",
    "accountId": "123456789012",
    "TransferAccountId": "123456789012",
    "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/some",
    "KvsARN": "arn:aws:cloudfront::123456789012:key-value-store/some",
    "Bucket": "some-bucket",
    "RequestRoute": "route",
    "ChannelARN": "arn:aws:kinesis:us-east-1:123456789012:channel/some",
    "QueueARN": "arn:aws:kinesis:us-east-1:123456789012:queue/some",
    "ConsumerARN": "arn:aws:kinesis:us-east-1:123456789012:stream/some/consumer/some:1",
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


def protocols(service: str) -> tuple[str, ...]:
    """Return the protocols that botocore's model of a service lists, by botocore's names."""
    metadata: Any = session().get_service_model(service).metadata
    return tuple(metadata.get("protocols") or (metadata["protocol"],))


def client(service: str, region: str, *, unsigned: bool = False, **config: Any) -> Any:
    """Return a client whose requests are raised instead of sent."""
    signature: dict[str, Any] = {"signature_version": botocore.UNSIGNED} if unsigned else {}
    if service in _DISCOVERED:
        config["endpoint_url"] = f"https://{_DISCOVERED[service]}.{region}.amazonaws.com"
    if service in _UNSIGNED:
        signature = {"signature_version": botocore.UNSIGNED}
    made: Any = session().create_client(
        service,
        endpoint_url=config.pop("endpoint_url", None),
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


def value(shape: Any, name: str = "", depth: int = 0) -> Any:
    """Return the smallest value of a shape that botocore takes."""
    smallest = max(int(shape.metadata.get("min", 0)), 1)
    match shape.type_name:
        case "structure":
            return structure(shape, depth + 1)
        case "list":
            return [value(shape.member, depth=depth + 1)] * (smallest if depth < _DEPTH_LIMIT else 0)
        case "string":
            return _TEXTS.get(name) or next(iter(shape.enum), "") or "a" * max(smallest, 3)
        case kind:
            return {"map": {}, "blob": b"blob", "boolean": True, "timestamp": 0}.get(kind, smallest)


def structure(shape: Any, depth: int = 0) -> dict[str, Any]:
    """Return a structure's required members; of a union the first, deep inside the last: shapes may hold themselves."""
    names = list(shape.required_members)
    if getattr(shape, "is_tagged_union", False):
        names = [list(shape.members)[0 if depth < _DEPTH_LIMIT else -1]]
    return {name: value(shape.members[name], name, depth) for name in names}


def parameters(operation: OperationModel) -> dict[str, Any]:
    """Return the smallest input of an operation."""
    return {} if operation.input_shape is None else structure(operation.input_shape)


def sent(made: Any, operation: str, **given: Any) -> Sent:
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
def stubbed(made: Any, answer: AWSResponse) -> Iterator[None]:
    """Let the client receive this answer instead of sending."""
    made.meta.events.unregister("before-send", _take)

    def reply(**_: Any) -> AWSResponse:
        return answer

    made.meta.events.register_first("before-send", reply)
    try:
        yield
    finally:
        made.meta.events.unregister("before-send", reply)
