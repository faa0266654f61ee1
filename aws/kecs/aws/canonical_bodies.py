"""Requests whose bodies change: CBOR to JSON, and the query protocol's GET to its POST."""

import zlib
from typing import Final

from kecs.aws import cbor_json, services
from kecs.aws.call import Call, Protocol
from kecs.aws.canonical_types import Back, Changed, Refusal, with_body
from kecs.aws.cbor import CborError
from kecs.aws.head import RequestHead
from kecs.aws.profiles import Profile
from kecs.aws.tables import tables

BODY_MAX: Final = 16 * 1024 * 1024
"""Of a request in CBOR. Kinesis, whose are the longest, takes 10 MiB."""
_JSON: Final = b"application/x-amz-json-"
_RPC: Final = b"application/cbor"
_RPC_NAME: Final = b"rpc-v2-cbor"
_AWS_CBOR: Final = b"application/x-amz-cbor-1.1"
_FORM: Final = b"application/x-www-form-urlencoded; charset=utf-8"
_GZIP_WINDOW: Final = 31
_NO_LONGER: Final = (
    b"content-type",
    b"accept",
    b"smithy-protocol",
    b"x-amz-target",
    b"x-amz-content-sha256",
    b"accept-encoding",
)
_STREAMED: Final = frozenset({"SubscribeToShard"})


def notation(head: RequestHead) -> Back | None:
    """Return which CBOR a request speaks; None for none."""
    content = head.get(b"content-type") or b""
    if content.startswith(_JSON):
        return None  # most are
    if content.startswith(_AWS_CBOR):
        return Back.JSON_CBOR
    # An RPC without input has no body, and so no type of one.
    if content.startswith(_RPC) or (head.get(b"smithy-protocol") or b"").lower() == _RPC_NAME:
        return Back.RPC_CBOR
    return None


def wanted(head: RequestHead, profile: Profile) -> int:
    """Return how much of the body is needed for a backend that does not speak the request's CBOR."""
    if head.method != b"POST" or profile.cbor or notation(head) is None:
        return 0
    return BODY_MAX


def changed(call: Call, head: RequestHead, profile: Profile, body: bytes | None) -> RequestHead | Changed | Refusal:
    """Return the request as the backend speaks it."""
    if head.method == b"POST":
        if profile.cbor:
            return head
        spoken = notation(head)
        return head if spoken is None else _as_json(call, head, profile, spoken, body)
    if head.method == b"GET" and not profile.query_by_get and call.protocol in _BY_QUERY and call.operation:
        return _posted(head)
    return head


_BY_QUERY: Final = frozenset({Protocol.QUERY, Protocol.EC2})


def _posted(head: RequestHead) -> Changed:
    path, _, query = head.target.partition(b"?")
    said = with_body(head, query, drop=(b"content-type",), add=((b"Content-Type", _FORM),))
    return Changed(head=RequestHead(method=b"POST", target=path, fields=said.fields), body=query)


def _as_json(
    call: Call, head: RequestHead, profile: Profile, spoken: Back, body: bytes | None
) -> RequestHead | Changed | Refusal:
    target = tables().services.get(call.service, {}).get("target", "")
    if not target or not cbor_json.is_known(call.service) or not call.operation:
        return Refusal(what=f"{call.service or 'this service'} in CBOR", profile=profile.name)
    if spoken is Back.JSON_CBOR and call.operation in _STREAMED:
        return Refusal(what=f"{call.operation} of {call.service} in CBOR", profile=profile.name)
    if body is None:
        because = f"a body in CBOR for {call.service} is longer than {BODY_MAX} bytes"
        return Refusal(what="it", profile=profile.name, status=400, code="RequestEntityTooLarge", because=because)
    try:
        plain = _inflated(body) if (head.get(b"content-encoding") or b"").lower() == b"gzip" else body
        said = cbor_json.to_json(plain, milliseconds=spoken is Back.JSON_CBOR)
    except CborError as error:
        because = f"the body is no CBOR that {call.service} could read: {error}"
        return Refusal(what="it", profile=profile.name, status=400, code="SerializationException", because=because)
    content = f"application/x-amz-json-{services.json_version(call.service)}".encode()
    fields = ((b"Content-Type", content), (b"X-Amz-Target", f"{target}.{call.operation}".encode()))
    made = with_body(head, said, drop=_NO_LONGER, add=fields)
    return Changed(head=RequestHead(method=b"POST", target=b"/", fields=made.fields), body=said, answered=spoken)


def _inflated(body: bytes) -> bytes:
    reader = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = reader.decompress(body, BODY_MAX)
    except zlib.error as error:
        raise CborError(f"it is no gzip: {error}") from error
    if not reader.eof:
        raise CborError(f"it is no whole gzip of at most {BODY_MAX} bytes")
    return plain
