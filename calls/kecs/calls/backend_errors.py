"""Errors of the backend on their way to the client: which are looked at, and what is told instead. Pure."""

from http import HTTPStatus

from kecs.aws import errors_foreign
from kecs.aws.head import Answer, ResponseHead
from kecs.calls.context import CallContext
from kecs.relay.decide import Gather


class Instead:
    """Lets nothing of a body pass, and says something else at its end."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def feed(self, data: bytes) -> bytes:
        """Drop it."""
        del data
        return b""

    def end(self) -> bytes:
        """Return what is said instead."""
        return self._body


def gather(context: CallContext, head: ResponseHead) -> ResponseHead | Gather:
    """Ask for an error's body; any other answer is not looked at here."""
    if errors_foreign.looked_at(context.call, head.status):
        return Gather(head=head, bytes_max=errors_foreign.BODY_MAX)
    return head


def told(context: object, answer: Answer) -> Answer:
    """Return an answer as it is, but an error that its service's clients can't read as that service would say it."""
    if not isinstance(context, CallContext) or context.route is None:
        return answer
    if not errors_foreign.looked_at(context.call, answer.status):
        return answer
    head = ResponseHead(status=answer.status, reason=b"", fields=answer.fields)
    profile = context.route.profile
    made = errors_foreign.mended(context.call, head, answer.body, profile=profile, request_id=context.request_id)
    return answer if made is None else made


def instead(context: CallContext, head: ResponseHead) -> tuple[ResponseHead, Instead] | None:
    """Return what a page is replaced by that stands for an error and is too long to be looked at."""
    if context.route is None or not errors_foreign.looked_at(context.call, head.status):
        return None
    profile = context.route.profile
    made = errors_foreign.mended_unseen(context.call, head, profile=profile, request_id=context.request_id)
    if made is None:
        return None
    reason = HTTPStatus(made.status).phrase.encode() if made.status in HTTPStatus else b""
    return ResponseHead(status=made.status, reason=reason, fields=made.fields), Instead(made.body)
