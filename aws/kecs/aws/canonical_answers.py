"""Answers to requests that were changed: as the client that asked expects them."""

from datetime import datetime
from typing import Final

from kecs.aws import canonical_s3, cbor_json, services
from kecs.aws.call import Call
from kecs.aws.canonical_types import Back, Refusal
from kecs.aws.head import Answer, Fields, ResponseHead
from kecs.aws.profiles import Profile

BODY_MAX: Final = 64 * 1024 * 1024
"""Of an answer that is changed. The longest are Kinesis' records, 10 MiB of them."""
_DROPPED: Final = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"x-amz-crc32")
_XML: Final[Fields] = ((b"Content-Type", b"application/xml"),)
_CBOR: Final[dict[Back, Fields]] = {
    Back.RPC_CBOR: ((b"Content-Type", b"application/cbor"), (b"smithy-protocol", b"rpc-v2-cbor")),
    Back.JSON_CBOR: ((b"Content-Type", b"application/x-amz-cbor-1.1"),),
}
_OK: Final = 200
_ERROR: Final = 400
_BEGINNING: Final = 256
DOUBTFUL_MAX: Final = 64 * 1024
"""Of an answer that may be no answer."""


def answered(back: Back, call: Call, head: ResponseHead, body: bytes, *, now: datetime) -> Answer:
    """Return what the client gets; what can't be put into its form goes as the backend said it."""
    if back in _CBOR:
        return _in_cbor(back, call, head, body)
    if head.status != _OK:
        return Answer(status=head.status, fields=head.fields, body=body)
    made = canonical_s3.session(call.access_key, now) if back is Back.SESSION else canonical_s3.directories(body)
    return Answer(status=_OK, fields=head.with_fields(drop=_DROPPED, add=_XML).fields, body=made)


def is_doubtful(call: Call, head: ResponseHead, profile: Profile) -> bool:
    """Tell whether an answer may say, in the backend's own way, that it does not have what was asked for."""
    if head.status < _ERROR or not profile.unserved or services.protocol(call.service) is None:
        return False  # what customers' own endpoints answer is theirs
    content = (head.get(b"content-type") or b"").lower()
    return any(content.startswith(kind) for kind, _ in profile.unserved)


def unserved(call: Call, head: ResponseHead, body: bytes, profile: Profile) -> Refusal | None:
    """Return what a doubtful answer means: None when it is an answer."""
    start = body[:_BEGINNING].lstrip().lower()
    if not is_doubtful(call, head, profile) or not any(
        start.startswith(beginning.lower()) for _, beginning in profile.unserved
    ):
        return None
    what = f"{call.operation or 'this call'} of {call.service}"
    because = (
        f"the backend ({profile.name}) does not have {what}, or failed on it: it answered {head.status} and no error "
        "of AWS's; another backend may"
    )
    return Refusal(what=what, profile=profile.name, because=because)


def _in_cbor(back: Back, call: Call, head: ResponseHead, body: bytes) -> Answer:
    try:
        made = cbor_json.from_json(
            body,
            service=call.service,
            operation=call.operation if head.status == _OK else "",
            milliseconds=back is Back.JSON_CBOR,
        )
    except ValueError:  # no JSON: said by something before the service
        return Answer(status=head.status, fields=head.fields, body=body)
    return Answer(status=head.status, fields=head.with_fields(drop=_DROPPED, add=_CBOR[back]).fields, body=made)
