"""What the decider tells of calls that are decided alike, so that the relay needs not ask for each.

A decision on a call without a form reads of its head: the names, method and target, and the values named here (what
`Recall` remembers calls by). Two such calls differ in their keys, dates, lengths and signatures, which nothing reads.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from kecs.aws.errors import extended_request_id
from kecs.aws.head import RequestHead, ResponseHead
from kecs.aws.presigned import is_presigned
from kecs.aws.recall import READ, Recall
from kecs.aws.rewrite import reads_values, rewrite_head
from kecs.calls.call_line import CallLines
from kecs.calls.context import CallContext, RequestIds
from kecs.calls.metrics import Tally
from kecs.calls.routes import ENGINE_FIELD
from kecs.relay.decide import Exchange, Forward, Gather, Same, SameAnswer

_DECISIVE: Final = (b"host", *READ, b"smithy-protocol")
_SIGNED: Final = b"AWS4-HMAC-SHA256 Credential="
_REST: Final = rb"[ -~\x80-\xff]*+(?<! )"
_PRINTABLE: Final = re.compile(rb"[!-~]([ -~]*[!-~])?")
_IDENTITY: Final = "(request id)"
_MARKED: Final = _IDENTITY.encode()
_MARKED_EXTENDED: Final = extended_request_id(_IDENTITY).encode()
_MARKED_DATE: Final = b"(date)"
_GIVEN: Final = (b"x-amzn-requestid", b"x-amz-request-id")

type Responding = Callable[[Exchange, ResponseHead], ResponseHead | Gather]
type Later = Callable[[Callable[..., bytes], tuple[Any, ...]], None]
"""Logs what a function returns for these arguments; it need not be called at once."""

type Fill = Callable[[bytes], tuple[bytes, tuple[bytes, ...]]]


def _values(head: RequestHead) -> dict[bytes, bytes] | None:
    """Return the patterns of the values that were read; None where one holds what no pattern takes."""
    found: dict[bytes, bytes] = {}
    for name in _DECISIVE:
        value = head.get(name)
        if value is None:
            continue
        if not _PRINTABLE.fullmatch(value):
            return None
        found[name] = re.escape(value)
    authorization = head.get(b"authorization")
    if authorization is not None:
        if not _PRINTABLE.fullmatch(authorization):
            return None
        scope, comma, _ = authorization.partition(b",")
        signed = comma and authorization.startswith(_SIGNED)
        found[b"authorization"] = re.escape(scope) + b"," + _REST if signed else re.escape(authorization)
    return found


class Planner:
    """Says what calls have in common."""

    def __init__(
        self,
        recall: Recall,
        tally: Tally,
        *,
        lines: CallLines,
        log_later: Later,
        clock: Callable[[], float],
        date: Callable[[], bytes],
    ) -> None:
        self._recall = recall
        self._tally = tally
        self._lines, self._later, self._clock = lines, log_later, clock
        self._date = date
        self._ids = RequestIds()

    def same(self, exchange: Exchange, forward: Forward, response: Responding) -> Same | None:
        """Say which calls are forwarded as this one; `response` is the decider's."""
        context, head = exchange.context, exchange.head
        if not isinstance(context, CallContext) or context.route is None or forward.body is not None:
            return None
        if head.get(ENGINE_FIELD) is not None or not exchange.name or is_presigned(head):
            return None  # what is presigned expires
        values = _values(head)
        target = self._recall.alike(head, name=exchange.name)
        if values is None or target is None:
            return None
        call, route = context.call, context.route
        asked = replace(exchange, context=replace(context))  # `response` writes into it; this one may be under way yet

        def answer(found: ResponseHead) -> SameAnswer | None:
            if isinstance(response(asked, found), Gather) or reads_values(found, origin=context.from_browser):
                return None
            dated = b"" if found.get(b"date") is not None else _MARKED_DATE
            given = rewrite_head(call, found, route.profile, _IDENTITY, origin=context.from_browser, date=dated)
            marks = tuple(value for _, value in given.fields if value in _FILLED)
            return SameAnswer(head=given, marks=marks, fill=_fill(marks, self._ids, self._date), identity=_GIVEN)

        tally, count = self._tally, self._tally.counter(call.service)
        clock, later = self._clock, self._later
        line = self._lines.planned(call, route.address, head.method)

        def note(started: float, ended: float, status: int, sent: int, got: int, identity: bytes) -> None:  # noqa: PLR0917 - called in one place
            seconds = ended - started
            tally.note(count, status, seconds, sent, got)
            later(line, (clock(), seconds, status, sent, got, identity))

        return Same(target=target, values=values, answer=answer, note=note)


_FILLED: Final = frozenset({_MARKED, _MARKED_EXTENDED, _MARKED_DATE})


def _fill(marks: tuple[bytes, ...], ids: RequestIds, date: Callable[[], bytes]) -> Fill:
    """Return what makes the values of these marks."""
    extends, dates = _MARKED_EXTENDED in marks, _MARKED_DATE in marks
    order = tuple([_ORDER.index(mark) for mark in marks])

    def fill(given: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        if not given:
            made = ids.pair()
        elif not order:
            return given, ()
        else:
            text = given.decode("latin-1")
            made = text.encode("ascii", "replace"), extended_request_id(text).encode() if extends else b""
        if order == _BOTH:
            return given or made[0], made
        values = (*made, date() if dates else b"")
        return given or made[0], tuple([values[place] for place in order])

    return fill


_ORDER: Final = (_MARKED, _MARKED_EXTENDED, _MARKED_DATE)
_BOTH: Final = (0, 1)
