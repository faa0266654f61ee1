"""Errors of a backend that are not in the form of the service that was asked: told again as that service would. Pure.

What a client can't parse costs it the message, the code and, with the query protocol and CBOR, even the retry: botocore
raises a parser's error for an HTML page. Seen so: moto's 500 pages in HTML, ministack's JSON on XML services and plain
texts, LocalStack's refusals that name the product, NoSuchBucket from backends that take what they don't know for S3.

what the backend says                             what the client gets
------------------------------------------------  ------------------------------------------------------
its service's form, with a code                   the same bytes
REST-JSON with a message and no code              the same bytes: the status is the code, moto's Greengrass has none
its service's form, "not implemented by PRODUCT"  501 NotImplemented, naming service and profile
another form, "not implemented", "unsupported"    the same
text or nothing, with 404, 405 or 501             the same: what is not known there is not a missing thing
an error of S3's, to another service              the same
another form, with a code                         the same status, code and message
another form, else                                the same status, a code for it, what was said, bounded
"""

import html
import json
import re
import zlib
from typing import Final, NamedTuple

from kecs.aws.call import Call, Protocol
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, Fields, ResponseHead
from kecs.aws.hosts import parse_host
from kecs.aws.profiles import Profile
from kecs.aws.services import protocol as protocol_of

BODY_MAX: Final = 64 * 1024
"""Of an error that is looked at. Longer ones are pages: none of AWS' errors comes near."""
_ERROR: Final = 400
_SERVER: Final = 500
_TEXT_MAX: Final = 300
_GZIP: Final = 31
"""zlib's window bits for gzip."""
_READ_MAX: Final = 8192
_NOT_THERE: Final = frozenset({404, 405, 501})
_NOT_IMPLEMENTED: Final = 501
_CODES: Final = {
    401: "AccessDenied", 403: "AccessDenied", 404: "NotFound", 408: "RequestTimeout", 413: "EntityTooLarge",
    429: "TooManyRequests", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout",
}  # fmt: skip
_PRODUCTS: Final = re.compile(r"localstack|ministack|\bmoto\b|werkzeug", re.IGNORECASE)
_LACKS: Final = re.compile(
    r"not (?:yet |currently )?(?:been )?(?:implement|emulat|support|includ|availab)"
    r"|unsupported|unknown service|pro feature",
    re.IGNORECASE,
)
_UNSEEN: Final = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^<>]*>")
_XML_CODE: Final = re.compile(r"<(?:\w+:)?Code>([^<>]{1,200})</")
_XML_MESSAGE: Final = re.compile(r"<(?:\w+:)?[Mm]essage>([^<>]*)</")
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}")
_CODE_KEYS: Final = ("__type", "code", "Code")
_MESSAGE_KEYS: Final = ("message", "Message", "errorMessage", "detail", "error")
_JSON_FORMS: Final = frozenset({Protocol.JSON, Protocol.REST_JSON})
_CBOR_MAPS: Final = frozenset({*range(0xA0, 0xBB), 0xBF})
_S3: Final = frozenset({"s3", "s3control", "s3outposts"})
_OF_S3: Final = frozenset({"NoSuchBucket", "NoSuchKey", "NoSuchUpload"})
_CORS: Final = b"access-control-"


class _Said(NamedTuple):
    """What an error's body says."""

    form: str
    """json, xml, cbor, or text for all else."""
    code: str
    message: str
    listed: bool = False
    """XML that begins as EC2's errors do."""
    wrapped: bool = False
    """XML that begins as the errors of all other services but S3 do."""


def looked_at(call: Call, status: int) -> bool:
    """Tell whether an answer's body has to be seen. Customers' own endpoints say what they want."""
    if status < _ERROR or protocol_of(call.service) is None:
        return False
    host = parse_host(call.host) if call.service == "s3" else None
    return host is None or host.prefix != "s3-website"  # those answer people, in HTML


def mended(call: Call, head: ResponseHead, body: bytes, *, profile: Profile, request_id: str) -> Answer | None:
    """Return the error as the service would say it; None where it does already."""
    said = _read(head, body)
    named = bool(_PRODUCTS.search(said.message))
    strange = _is_s3s(call, said)
    lacking = strange or _admits_lack(said, head.status, named=named)
    if _fits(call, said, head) and not strange and not (named and lacking):
        return None
    if not lacking and call.protocol is Protocol.REST_JSON and _is_codeless(said, _message(said, head.status, profile)):
        return None
    if lacking or (not said.code and said.form == "text" and head.status in _NOT_THERE):
        status, code, message = _NOT_IMPLEMENTED, "NotImplemented", lacks(call, profile)
    else:
        status, message = head.status, _message(said, head.status, profile)
        code = said.code or _CODES.get(status, "InternalFailure" if status >= _SERVER else "BadRequest")
    answer = error_answer(call, status=status, code=code, message=message, request_id=request_id)
    return Answer(status=status, fields=answer.fields + _kept(head), body=answer.body)


def mended_unseen(call: Call, head: ResponseHead, *, profile: Profile, request_id: str) -> Answer | None:
    """Return what stands for an error that is too long to be looked at; None where its type may be the service's."""
    content = (head.get(b"content-type") or b"").lower()
    if not content.startswith((b"text/html", b"text/plain")):
        return None
    return mended(call, head, b"", profile=profile, request_id=request_id)


def lacks(call: Call, profile: Profile) -> str:
    """Say that a backend does not have what was asked for."""
    what = f"{call.operation or 'this call'} of {call.service}"
    return f"the backend ({profile.name}) does not have {what}; another backend may"


def _kept(head: ResponseHead) -> Fields:
    """Return the fields that a browser needs to read the error, and the date."""
    return tuple(field for field in head.fields if field[0].lower().startswith(_CORS) or field[0].lower() == b"date")


def _message(said: _Said, status: int, profile: Profile) -> str:
    text = said.message
    if not text or _PRODUCTS.search(text) or any(marker in text for marker in profile.markers):
        return f"the backend ({profile.name}) answered {status} without a reason that can be told"
    return text


def _admits_lack(said: _Said, status: int, *, named: bool) -> bool:
    """Tell whether the backend says that it does not have this. An error with a code says something else."""
    if named and status == _NOT_IMPLEMENTED:
        return True
    return (named or not said.code or status == _NOT_IMPLEMENTED) and bool(_LACKS.search(said.message))


def _is_s3s(call: Call, said: _Said) -> bool:
    """Tell whether this is S3's own error, for a request that was not for S3."""
    return said.code in _OF_S3 and call.service not in _S3 and not said.wrapped


def _fits(call: Call, said: _Said, head: ResponseHead) -> bool:
    """Tell whether the service's clients can read it: the form, with a code in it or beside it."""
    if call.protocol is Protocol.CBOR:
        return said.form == "cbor" and head.get(b"smithy-protocol") is not None
    if call.protocol in _JSON_FORMS:
        return said.form == "json" and bool(said.code)
    if call.protocol is Protocol.EC2 and not said.listed:
        return False
    return said.form == "xml" and bool(said.code)


def _is_codeless(said: _Said, told: str) -> bool:
    """Tell whether JSON lacks nothing but a code: clients take the status for it, as from the backend itself."""
    return said.form == "json" and not said.code and bool(said.message) and told == said.message


def _read(head: ResponseHead, body: bytes) -> _Said:
    if (head.get(b"content-encoding") or b"").strip().lower() == b"gzip":
        body = _unpacked(body)
    text = body.decode("utf-8", "replace").strip()
    named = _code((head.get(b"x-amzn-errortype") or b"").decode("latin-1"))
    if text.startswith("{"):
        return _read_json(text, named)
    if _XML_CODE.search(text):
        return _read_xml(text)
    if body and body[0] in _CBOR_MAPS and b"cbor" in (head.get(b"content-type") or b""):
        return _Said("cbor", "", "")
    return _Said("text", named, _plain(text))


def _unpacked(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=_GZIP).decompress(body, BODY_MAX)
    except zlib.error:
        return body


def _read_json(text: str, named: str) -> _Said:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _Said("text", named, _plain(text))
    if not isinstance(found, dict):
        return _Said("text", named, "")
    code = next((str(found[key]) for key in _CODE_KEYS if isinstance(found.get(key), str)), "")
    message = next((found[key] for key in _MESSAGE_KEYS if isinstance(found.get(key), str)), "")
    return _Said("json", _code(code) or named, _bounded(message))


def _read_xml(text: str) -> _Said:
    code, message = _XML_CODE.search(text), _XML_MESSAGE.search(text)
    return _Said(
        "xml",
        _code(html.unescape(code[1])) if code else "",
        _bounded(html.unescape(message[1])) if message else "",
        listed="<Errors>" in text,
        wrapped="<ErrorResponse" in text,
    )


def _code(text: str) -> str:
    """Return the code in the short form of an error's type: without namespace and what stands after a colon."""
    code = text.partition(":")[0].rpartition("#")[2].strip()
    return code if _CODE.fullmatch(code) else ""


def _plain(text: str) -> str:
    """Return what a page says, without its tags."""
    return _bounded(html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text[:_READ_MAX]))))


def _bounded(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text[:_READ_MAX]).split())
    return words if len(words) <= _TEXT_MAX else words[: _TEXT_MAX - 1] + "…"
