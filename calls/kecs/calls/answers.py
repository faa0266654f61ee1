"""What becomes of the bodies of answers: which are looked at, and what the client gets instead. Pure.

The decider asks for every answer. Whether a body is collected follows from profile, service, operation and whether it
is an error, never from what the answer says: most calls' bodies are not seen at all.
"""

from typing import Final

from kecs.aws.call import Call
from kecs.aws.head import ResponseHead
from kecs.aws.hosts import DATA_PLANES
from kecs.aws.local_names import spelled
from kecs.aws.rewrite_addresses import Place, place_of
from kecs.aws.rewrite_body import BodyFilter, Passed, Rewritten, body_filter, holds_text, rewrite_body
from kecs.aws.rewrite_fields import Sheet, sheet_of
from kecs.calls.context import CallContext
from kecs.calls.metrics import NOT_REWRITTEN, Tally
from kecs.calls.routes import Route
from kecs.relay.decide import Exchange

GATHERED_MAX: Final = 1024 * 1024
"""The most that is held of an answer; a longer one is changed piece by piece."""
MESSAGES_MAX: Final = 4 * 1024 * 1024
"""The most of messages, which can't: SQS's largest answer, ten of 1 MiB in all, fits as JSON and as XML."""

_FINAL: Final = 200
_USUAL_PORT: Final = "4566"
_CUSTOMERS: Final = frozenset(DATA_PLANES.values())


def sheet_for(call: Call, route: Route, status: int, *, outward: bool = False) -> Sheet | None:
    """Return what is to be looked at in an answer's body; None when the body is passed unseen.

    `outward`: AWS's own addresses are not to stay either.
    """
    if status < _FINAL or call.service in _CUSTOMERS:
        return None
    return sheet_of(call.service, call.operation, route.profile, status, outward)


def bytes_max(sheet: Sheet) -> int:
    """Return how much of an answer is held."""
    return MESSAGES_MAX if sheet.messages else GATHERED_MAX


def rewritten(exchange: Exchange, context: CallContext, head: ResponseHead, body: bytes, tally: Tally) -> Rewritten:
    """Return an answer that was collected whole as the client gets it."""
    route = context.route
    sheet = None if route is None else sheet_for(context.call, route, head.status, outward=context.base is not None)
    if route is None or sheet is None or not holds_text(head):
        return Rewritten(head, body)
    found = rewrite_body(head, body, sheet, _place(exchange, context, route))
    if found.passed:
        _note(exchange, tally, found.passed)
    return found


def streamed(
    exchange: Exchange, context: CallContext, head: ResponseHead, tally: Tally
) -> tuple[ResponseHead, BodyFilter | None]:
    """Return what a longer answer streams through; without a filter it is passed, which is noted."""
    route = context.route
    sheet = None if route is None else sheet_for(context.call, route, head.status, outward=context.base is not None)
    if route is None or sheet is None or not holds_text(head):
        return head, None
    found = body_filter(head, sheet, _place(exchange, context, route))
    if isinstance(found, Passed):
        _note(exchange, tally, found)
        return head, None
    return found


def _place(exchange: Exchange, context: CallContext, route: Route) -> Place:
    base = context.base
    return place_of(
        context.call,
        route.profile,
        ports=frozenset({str(route.upstream.port), _USUAL_PORT}),
        target=exchange.head.target.decode("latin-1"),
        outward=None if base is None else lambda text: spelled(text, base),
    )


def _note(exchange: Exchange, tally: Tally, why: str) -> None:
    exchange.reason = exchange.reason or NOT_REWRITTEN
    tally.event(NOT_REWRITTEN, why)
