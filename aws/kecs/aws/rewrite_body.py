"""Bodies of answers as AWS would spell them: the backend's addresses respelled, and every checksum right. Pure.

Which fields of which answers is `rewrite_fields`' to say, how an address is spelled `rewrite_addresses`'. Here is what
stands around: content codings, DynamoDB's CRC-32, the MD5 of a message whose notification was respelled. A body in
which nothing has to change stays byte for byte, with all that was said about it.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from kecs.aws.head import ResponseHead
from kecs.aws.rewrite_addresses import Place, Rule, pattern_of, topic_url
from kecs.aws.rewrite_fields import MESSAGE, Sheet
from kecs.aws.rewrite_text import Walker, walk, walker_of
from kecs.core.errors import ProtocolError

DECODED_MAX: Final = 16 * 1024 * 1024
"""The most that a compressed body may become: what says more in less is let pass as it is."""

_MD5_FIELD: Final = "MD5OfBody"
_CRC32: Final = b"x-amz-crc32"
_STALE: Final = (b"content-md5", b"x-amz-checksum-crc32", b"x-amz-checksum-crc32c", b"x-amz-checksum-sha256", b"digest")
_GZIP_BITS: Final = 31
_CODINGS: Final[Mapping[bytes, int]] = {b"gzip": _GZIP_BITS, b"x-gzip": _GZIP_BITS, b"deflate": 15}
"""zlib's window bits for each coding."""
_NOTIFICATION: Final = ("SigningCertURL", "SigningCertUrl")
_TOPIC_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("UnsubscribeURL", "UnsubscribeUrl", "SubscribeURL", *_NOTIFICATION), topic_url
)
_TOPIC_FIELDS: Final = frozenset({*_TOPIC_RULES, "TopicArn"})
_OPAQUE: Final = re.compile(rb"octet-stream|eventstream|event-stream|cbor|zip|image/|audio/|video/", re.IGNORECASE)


class Passed(StrEnum):
    """Why a body that may hold an address of the backend's was passed as it is."""

    CODING = "content_coding"
    """It is compressed in a way that is not understood, or not at all as it says."""
    DECODED = "decoded_too_long"
    """It is small, and would become larger than anything an API answers."""
    TOO_LONG = "too_long"
    """It can't be changed as it streams, since something before depends on what comes later."""


class Rewritten(NamedTuple):
    """An answer, and why nothing was looked at; empty when it was."""

    head: ResponseHead
    body: bytes
    passed: str = ""


class _Fields:
    """Applies rules and remembers what was seen."""

    __slots__ = ("_place", "_rules")

    def __init__(self, rules: Mapping[str, Rule], place: Place) -> None:
        self._rules = rules
        self._place = place

    def change(self, field: str, value: str) -> str:
        """Return a field's value as AWS would spell it."""
        rule = self._rules.get(field)
        changed = value if rule is None or not value else rule(value, self._place)
        self._place.seen[field] = changed
        outward = self._place.outward
        return changed if rule is None or outward is None else outward(changed)


def holds_text(head: ResponseHead) -> bool:
    """Tell whether a body can be JSON or XML."""
    kind = head.get(b"content-type")
    return kind is None or _OPAQUE.search(kind) is None


def rewrite_body(head: ResponseHead, body: bytes, sheet: Sheet, place: Place) -> Rewritten:
    """Return an answer as the client gets it. The length is left to whoever sends it."""
    coding = _coding(head)
    text = body
    if coding:
        bits = _CODINGS.get(coding)
        if bits is None:
            return Rewritten(head, body, Passed.CODING)
        decoded, why = _decoded(body, bits)
        if decoded is None:
            return Rewritten(head, body, why)
        text = decoded
    changed = _with_messages(text, place) if sheet.messages else _with_fields(text, sheet, place)
    if changed == text:
        return Rewritten(head, body)
    if coding:
        packer = zlib.compressobj(wbits=_CODINGS[coding])
        changed = packer.compress(changed) + packer.flush()
    return Rewritten(_summed(head, changed), changed)


def _coding(head: ResponseHead) -> bytes:
    coding = (head.get(b"content-encoding") or b"").strip().lower()
    return b"" if coding in {b"identity", b"aws-chunked"} else coding


def _decoded(body: bytes, bits: int) -> tuple[bytes | None, str]:
    unpacker = zlib.decompressobj(wbits=bits)
    try:
        text = unpacker.decompress(body, DECODED_MAX)
    except zlib.error:
        return None, Passed.CODING
    if unpacker.unconsumed_tail:
        return None, Passed.DECODED
    return (text, "") if unpacker.eof and not unpacker.unused_data else (None, Passed.CODING)


def _summed(head: ResponseHead, body: bytes) -> ResponseHead:
    """Return the head with DynamoDB's checksum of the body as it is on the wire, and without sums of what it was."""
    if head.get(_CRC32) is None:
        return head.with_fields(drop=_STALE)
    return head.with_fields(drop=(*_STALE, _CRC32), add=((_CRC32, b"%d" % zlib.crc32(body)),))


def _with_fields(text: bytes, sheet: Sheet, place: Place) -> bytes:
    return walk(text, sheet.fields, _Fields(sheet.rules, place).change)


def _with_messages(text: bytes, place: Place) -> bytes:
    """Respell the notifications among messages, then the sums of those that changed."""
    markers = pattern_of(place.markers)
    if not any(marker.encode() in text for marker in place.markers):
        return text
    sums: dict[str, str] = {}

    def message(field: str, value: str) -> str:
        del field
        changed = notification(value, place) if markers.search(value) else value
        if changed != value:
            sums[_md5(value)] = _md5(changed)
        return changed

    changed = walk(text, frozenset({MESSAGE}), message)
    return walk(changed, frozenset({_MD5_FIELD}), lambda _, value: sums.get(value, value)) if sums else text


def notification(message: str, place: Place) -> str:
    """Return a message as it is, unless it is a notification of SNS: then with its addresses respelled.

    The signature covers none of them but SubscribeURL, which only confirmations have.
    """
    if not message.lstrip().startswith("{") or not any(f'"{name}"' in message for name in _NOTIFICATION):
        return message
    place.seen.pop("TopicArn", None)
    changed = walk(message.encode("utf-8", "surrogatepass"), _TOPIC_FIELDS, _Fields(_TOPIC_RULES, place).change)
    return changed.decode("utf-8", "surrogatepass")


def _md5(message: str) -> str:
    return hashlib.md5(message.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


class _Unpacker:
    """Unpacks gzip as it comes, of which there may be several, one behind the other (RFC 1952 section 2.2)."""

    __slots__ = ("_member",)

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP_BITS)

    def feed(self, data: bytes) -> bytes:
        """Return what these bytes become; raises ProtocolError."""
        out = []
        try:
            while data:
                if self._member.eof:
                    self._member = zlib.decompressobj(wbits=_GZIP_BITS)
                out.append(self._member.decompress(data))
                data = self._member.unused_data
        except zlib.error as error:
            raise ProtocolError(f"what is said to be gzip is none: {error}", status=502) from error
        return b"".join(out)

    def end(self) -> None:
        """Raise ProtocolError where something is missing."""
        if not self._member.eof:
            raise ProtocolError("what is said to be gzip ends too early", status=502)


class BodyFilter:
    """Rewrites a body that is too long to be held, as it streams."""

    __slots__ = ("_fields", "_sheet", "_unpacker", "_walker")

    def __init__(self, sheet: Sheet, place: Place, *, packed: bool = False) -> None:
        self._sheet = sheet
        self._fields = _Fields(sheet.rules, place)
        self._walker: Walker | None = None
        self._unpacker = _Unpacker() if packed else None

    def feed(self, data: bytes) -> bytes:
        """Take more of the body; return what can be sent. Raises ProtocolError for what can't be unpacked."""
        if self._unpacker is not None:
            data = self._unpacker.feed(data)
        if self._walker is None:
            if not data.strip():
                return data
            self._walker = walker_of(data, self._sheet.fields, self._fields.change)
        return self._walker.feed(data)

    def end(self) -> bytes:
        """Return what was held back, now that the body is whole."""
        if self._unpacker is not None:
            self._unpacker.end()
        return self._walker.end() if self._walker is not None else b""


def body_filter(head: ResponseHead, sheet: Sheet, place: Place) -> tuple[ResponseHead, BodyFilter] | Passed:
    """Return what a long body streams through, and its head; or why it is passed as it is.

    It leaves uncompressed, and without sums, which nobody can know beforehand.
    """
    coding = _coding(head)
    if sheet.messages:
        return Passed.TOO_LONG
    if coding and _CODINGS.get(coding) != _GZIP_BITS:
        return Passed.CODING
    drop = (*_STALE, _CRC32, b"content-encoding") if coding else (*_STALE, _CRC32)
    return head.with_fields(drop=drop), BodyFilter(sheet, place, packed=bool(coding))
