"""How an answer of our own is spelled. Pure."""

from typing import Final

from kecs.aws.head import Answer, Fields, ResponseHead
from kecs.relay import framing

_REASONS: Final = {
    200: b"OK", 201: b"Created", 204: b"No Content", 206: b"Partial Content", 301: b"Moved Permanently", 302: b"Found",
    304: b"Not Modified", 307: b"Temporary Redirect", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden",
    404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout", 409: b"Conflict", 411: b"Length Required",
    412: b"Precondition Failed", 413: b"Content Too Large", 421: b"Misdirected Request", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout", 505: b"HTTP Version Not Supported",
}  # fmt: skip
"""Reason phrases (RFC 9110 section 15)."""

_BODILESS: Final = frozenset({204, 304})


def spell(answer: Answer, *, method: bytes, closing: Fields) -> tuple[bytes, bytes]:
    """Return the head and the body that go to the client; `closing` are the connection's own fields."""
    head = ResponseHead(status=answer.status, reason=_REASONS.get(answer.status, b""), fields=answer.fields)
    bodiless = answer.status in _BODILESS
    length: Fields = () if bodiless else ((b"Content-Length", b"%d" % len(answer.body)),)
    out = framing.write_response(head, extra=(*length, *closing))
    return out, b"" if bodiless or method == b"HEAD" else answer.body
