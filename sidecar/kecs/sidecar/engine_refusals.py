"""What the engine says itself, instead of mitmproxy's pages of HTML: what the relay would have said."""

from datetime import UTC, datetime
from typing import Any

from kecs.aws.head import Answer, Fields, RequestHead


def refusal(status: int, message: str, *, context: Any, request: Any = None) -> Answer:
    """Return the answer to a client's request, of which mitmproxy may have read the head."""
    from kecs.calls import refusals  # noqa: PLC0415 - brings the tables of all services, which the engine has no use for

    head = refusals.NO_HEAD
    if request is not None:
        raw = request.data
        head = RequestHead(method=raw.method, target=raw.path, fields=tuple(raw.headers.fields))
    return refusals.refusal(status, message, name=context.client.sni or "", head=head, now=datetime.now(UTC))


def refused(status: int, message: str, *, context: Any, request: Any = None) -> bytes:
    """Spell it as HTTP/1.1, on a connection that ends with it."""
    from kecs.relay.answers import spell  # noqa: PLC0415 - as above: most engines never say it

    answer = refusal(status, message, context=context, request=request)
    method = request.data.method if request is not None else b""
    return b"".join(spell(answer, method=method, closing=((b"Connection", b"close"),)))


def refused_2(status: int, message: str, *, context: Any, request: Any = None) -> tuple[Fields, bytes]:
    """Spell it as HTTP/2: fields and body."""
    answer = refusal(status, message, context=context, request=request)
    fields = [(key.lower(), value) for key, value in answer.fields]
    length = (b"content-length", b"%d" % len(answer.body))
    return ((b":status", b"%d" % answer.status), *fields, length), answer.body
