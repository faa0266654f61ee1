"""Answers to requests that were changed: as the client that asked expects them."""

from datetime import datetime
from typing import Final

from kecs.aws import canonical_s3, cbor_json
from kecs.aws.call import Call
from kecs.aws.canonical_types import Back
from kecs.aws.head import Answer, Fields, ResponseHead

BODY_MAX: Final = 64 * 1024 * 1024
"""Of an answer that is changed. The longest are Kinesis' records, 10 MiB of them."""
_DROPPED: Final = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"x-amz-crc32")
_XML: Final[Fields] = ((b"Content-Type", b"application/xml"),)
_CBOR: Final[dict[Back, Fields]] = {
    Back.RPC_CBOR: ((b"Content-Type", b"application/cbor"), (b"smithy-protocol", b"rpc-v2-cbor")),
    Back.JSON_CBOR: ((b"Content-Type", b"application/x-amz-cbor-1.1"),),
}
_OK: Final = 200


def answered(back: Back, call: Call, head: ResponseHead, body: bytes, *, now: datetime) -> Answer:
    """Return what the client gets; what can't be put into its form goes as the backend said it."""
    if back in _CBOR:
        return _in_cbor(back, call, head, body)
    if head.status != _OK:
        return Answer(status=head.status, fields=head.fields, body=body)
    made = canonical_s3.session(call.access_key, now) if back is Back.SESSION else canonical_s3.directories(body)
    return Answer(status=_OK, fields=head.with_fields(drop=_DROPPED, add=_XML).fields, body=made)


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
