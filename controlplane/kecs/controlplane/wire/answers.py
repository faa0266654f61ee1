"""Answers as clients get them: results and errors, in the protocol that was spoken, each with its request's id."""

import json
from typing import Final

from kecs.aws import cbor
from kecs.aws.head import Answer, Fields
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Outcome
from kecs.controlplane.wire.model import model
from kecs.controlplane.wire.requests import NoOperationError, Spoken
from kecs.controlplane.wire.writing import Misfit, write

_TYPES: Final = {Spoken.JSON: b"application/x-amz-json-1.1", Spoken.CBOR: b"application/cbor"}
_NAMESPACE: Final = "com.amazonaws.ecs#"
_WARNING_MAX: Final = 1024
_WARNINGS_MAX: Final = 16
_NOT_ALLOWED: Final = 405

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def status_of(error: ApiError) -> int:
    """Return the HTTP status of an error: 400, but 500 where the model says that the fault is the service's."""
    if isinstance(error, NoOperationError):
        return error.status
    shape = model().shapes.get(error.code)
    return 500 if shape is not None and shape.fault else 400


def success(operation: str, outcome: Outcome, *, protocol: Spoken, request_id: str, misfit: Misfit) -> Answer:
    """Return an operation's result."""
    document = write(model().operations[operation].output, outcome.body, misfit, cbor=protocol is Spoken.CBOR)
    warnings = tuple((b"x-kecs-warning", _field(text)) for text in outcome.warnings[:_WARNINGS_MAX])
    return _answer(200, document, protocol, request_id, warnings)


def failure(error: ApiError, *, protocol: Spoken, request_id: str, misfit: Misfit) -> Answer:
    """Return an operation's refusal."""
    cboric = protocol is Spoken.CBOR
    document: dict[str, object] = {"__type": f"{_NAMESPACE * cboric}{error.code}"}
    if error.message:
        document["message"] = error.message
    if error.members and error.code in model().shapes:
        document |= write(error.code, error.members, misfit, cbor=cboric)
    status = status_of(error)
    fields: Fields = ((b"x-amzn-ErrorType", _field(error.code)),)
    if status == _NOT_ALLOWED:
        fields = (*fields, (b"Allow", b"POST"))
    return _answer(status, document, protocol, request_id, fields)


def _field(text: str) -> bytes:
    """Make a header value: one line of ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:_WARNING_MAX]).strip().encode()


def _answer(status: int, document: object, protocol: Spoken, request_id: str, more: Fields) -> Answer:
    if protocol is Spoken.CBOR:
        body, more = cbor.dumps(document), ((b"smithy-protocol", b"rpc-v2-cbor"), *more)  # type: ignore[arg-type]  # written as items
    else:
        body = _encode(document).encode()
    fields: Fields = ((b"Content-Type", _TYPES[protocol]), (b"x-amzn-RequestId", request_id.encode()), *more)
    return Answer(status=status, fields=fields, body=body)
