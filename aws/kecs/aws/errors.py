"""Errors as AWS spells them, one form per protocol: what a client can't parse hides the message, or is not retried.

CBOR to a JSON client is a decode error without a retry; plain text to a query client is "unable to parse response". So
the form follows what the request spoke.
"""

import json
from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from html import escape
from typing import Final

from kecs.aws.call import Call, Protocol
from kecs.aws.head import Answer, Fields

_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SERVER_FAULT: Final = 500
_CBOR_SHORT: Final = 24
_CBOR_BYTE: Final = 0x100
_CBOR_WORD: Final = 0x10000
_CBOR_TEXT: Final = 0x60
_CBOR_MAP_OF_TWO: Final = b"\xa2"
_XML_ALLOWED: Final = frozenset("\t\n\r")


def extended_request_id(request_id: str) -> str:
    """Return an x-amz-id-2 as S3's look, 76 characters, the same for the same request id."""
    return b2a_base64(blake2b(request_id.encode("utf-8", "replace"), digest_size=56).digest(), newline=False).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    call: Call
    status: int
    code: str
    message: str
    request_id: str

    @property
    def side(self) -> str:
        return "Receiver" if self.status >= _SERVER_FAULT else "Sender"

    @property
    def shape(self) -> str:
        """The code as the name of an error shape: ServiceUnavailable -> ServiceUnavailableException."""
        known_end = self.code.endswith(("Exception", "Error", "Fault"))
        return self.code if known_end or self.status < _SERVER_FAULT else f"{self.code}Exception"


def _text(value: str) -> str:
    """Escape for XML, and drop what XML 1.0 can't hold at all."""
    return escape("".join(c for c in value if c >= " " or c in _XML_ALLOWED), quote=False)


def _field(value: str) -> bytes:
    """Make a header value: one line, no bytes that end or split it."""
    return "".join(c if c.isascii() and c.isprintable() else " " for c in value).strip().encode()


def _request_id(fault: _Fault) -> Fields:
    return ((b"x-amzn-RequestId", _field(fault.request_id)),)


def _json(fault: _Fault) -> Answer:
    fields: Fields = ((b"Content-Type", f"application/x-amz-json-{fault.call.json_version}".encode()),)
    if fault.call.query_compatible:
        fields += ((b"x-amzn-query-error", _field(f"{fault.code};{fault.side}")),)
    body = json.dumps({"__type": fault.shape, "message": fault.message}).encode()
    return Answer(status=fault.status, fields=fields + _request_id(fault), body=body)


def _rest_json(fault: _Fault) -> Answer:
    fields: Fields = ((b"Content-Type", b"application/json"), (b"x-amzn-ErrorType", _field(fault.shape)))
    body = json.dumps({"message": fault.message}).encode()
    return Answer(status=fault.status, fields=fields + _request_id(fault), body=body)


def _s3(fault: _Fault) -> Answer:
    host_id = extended_request_id(fault.request_id)
    body = (
        f"{_XML}<Error><Code>{_text(fault.code)}</Code><Message>{_text(fault.message)}</Message><Resource>/</Resource>"
        f"<RequestId>{_text(fault.request_id)}</RequestId><HostId>{host_id}</HostId></Error>"
    )
    fields: Fields = (
        (b"Content-Type", b"application/xml"),
        (b"x-amz-request-id", _field(fault.request_id)),
        (b"x-amz-id-2", host_id.encode()),
        (b"Server", b"AmazonS3"),
    )
    return Answer(status=fault.status, fields=fields, body=body.encode("utf-8", "replace"))


def _xml(fault: _Fault) -> Answer:
    if fault.call.service == "s3":
        return _s3(fault)
    # The namespace is a service's own; every client takes any.
    namespace = f"https://{_text(fault.call.service or 'aws')}.amazonaws.com/doc/"
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault.side}</Type><Code>{_text(fault.code)}</Code>'
        f"<Message>{_text(fault.message)}</Message></Error><RequestId>{_text(fault.request_id)}</RequestId></ErrorResponse>"
    )
    fields: Fields = ((b"Content-Type", b"text/xml"),)
    return Answer(status=fault.status, fields=fields + _request_id(fault), body=body.encode("utf-8", "replace"))


def _ec2(fault: _Fault) -> Answer:
    # EC2 has its own word for it, and its clients retry on that.
    code = "Unavailable" if fault.code == "ServiceUnavailable" else fault.code
    body = (
        f"{_XML}<Response><Errors><Error><Code>{_text(code)}</Code><Message>{_text(fault.message)}</Message></Error>"
        f"</Errors><RequestID>{_text(fault.request_id)}</RequestID></Response>"
    )
    fields: Fields = ((b"Content-Type", b"text/xml;charset=UTF-8"),)
    return Answer(status=fault.status, fields=fields + _request_id(fault), body=body.encode("utf-8", "replace"))


def _cbor_text(value: str) -> bytes:
    """Encode a text string: RFC 8949, major type 3."""
    raw = value.encode("utf-8", "replace")
    size = len(raw)
    if size < _CBOR_SHORT:
        return bytes((_CBOR_TEXT + size,)) + raw
    if size < _CBOR_BYTE:
        return bytes((_CBOR_TEXT + 24, size)) + raw
    if size < _CBOR_WORD:
        return bytes((_CBOR_TEXT + 25,)) + size.to_bytes(2) + raw
    return bytes((_CBOR_TEXT + 26,)) + size.to_bytes(4) + raw


def _cbor(fault: _Fault) -> Answer:
    pairs = (("__type", f"com.amazonaws#{fault.shape}"), ("message", fault.message))
    body = _CBOR_MAP_OF_TWO + b"".join(_cbor_text(text) for pair in pairs for text in pair)
    fields: Fields = ((b"Content-Type", b"application/cbor"), (b"smithy-protocol", b"rpc-v2-cbor"))
    if fault.call.query_compatible:
        fields += ((b"x-amzn-query-error", _field(f"{fault.code};{fault.side}")),)
    return Answer(status=fault.status, fields=fields + _request_id(fault), body=body)


_FORMS: Final[dict[Protocol, Callable[[_Fault], Answer]]] = {
    Protocol.JSON: _json,
    Protocol.REST_JSON: _rest_json,
    Protocol.REST_XML: _xml,
    Protocol.QUERY: _xml,
    Protocol.EC2: _ec2,
    Protocol.CBOR: _cbor,
}


def error_answer(
    call: Call, *, status: int, code: str, message: str, request_id: str, head_only: bool = False
) -> Answer:
    """Return the error in the form that the call's client parses. `head_only` answers HEAD: the same fields, no body.

    `code` is the short form, as S3 and the query protocol have it: ServiceUnavailable, not …Exception.
    """
    fault = _Fault(call=call, status=status, code=code, message=message, request_id=request_id)
    answer = _FORMS[call.protocol](fault)
    return Answer(status=answer.status, fields=answer.fields) if head_only else answer
