"""What becomes of a call, whoever carries it: routed, made canonical, refused; its answer, its record.

Who accepts connections adds what it makes of them (`kecs.sidecar.decider`, `kecs.gateway.decider`).
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Final, override

from kecs.aws import canonical
from kecs.aws.accounts import Accounts
from kecs.aws.call import Call
from kecs.aws.call import Protocol as Spoken
from kecs.aws.canonical_answers import BODY_MAX, DOUBTFUL_MAX, answered, is_doubtful, unserved
from kecs.aws.canonical_types import Changed, Refusal
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.aws.recall import Recall
from kecs.aws.rewrite import rewrite_head
from kecs.aws.rewrite_body import holds_text
from kecs.aws.unclassified import Sighting, Sightings
from kecs.calls import answers, backend_errors, outages
from kecs.calls.accesslog import connection_record, exchange_record, line_of, unclassified_record
from kecs.calls.call_line import CallLines
from kecs.calls.context import CallContext, new_request_id
from kecs.calls.metrics import Tally
from kecs.calls.planning import Later, Planner
from kecs.calls.refusals import CODES
from kecs.calls.routes import ENGINE_FIELD, Routes, without_secrets
from kecs.relay.decide import (
    Connection,
    Decider,
    Exchange,
    Failure,
    Filter,
    Forward,
    Gather,
    Pass,
    Peeked,
    Same,
    Verdict,
)

UNCLASSIFIED: Final = "unclassified"
NOT_IN_BACKEND: Final = "not_in_backend"

_FINAL: Final = 200
_NOT_IMPLEMENTED: Final = 501
_FORMS: Final = frozenset({Spoken.QUERY, Spoken.EC2})


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def _seconds(clock: Callable[[], datetime]) -> Callable[[], float]:
    return time.time if clock is utc_now else lambda: clock().timestamp()


class CallDecider(Decider):
    """See the module. It holds no sockets: only counts, and the clock it was given."""

    def __init__(
        self,
        routes: Routes,
        accounts: tuple[str, ...] = (),
        *,
        log: Callable[[bytes], None] | None = None,
        log_later: Later | None = None,
        clock: Callable[[], datetime] = utc_now,
        verdict: str = "intercept",
    ) -> None:
        self.routes = routes
        self._accounts = Accounts.parse(accounts)
        self.tally = Tally()
        self._log = log or (lambda _: None)
        self._clock = clock
        self._sightings = Sightings()
        self._date = (0, b"")
        self._lines = CallLines(verdict)
        self._recall = Recall()
        self._planner = Planner(
            self._recall,
            self.tally,
            lines=self._lines,
            log_later=log_later or self._log_now,
            clock=_seconds(clock),
            date=self._http_date,
        )

    # requests

    def _unclassified(self, exchange: Exchange, call: Call) -> Answer:
        """Refuse a request that no service is known for; a backend would take it for some service, likely S3."""
        exchange.reason = UNCLASSIFIED
        seen = Sighting.of(call, exchange.head)
        if self._sightings.first(seen):
            self._log(line_of(unclassified_record(seen, self._clock())))
        return self._error(exchange, 501, seen.sentence)

    def _refused(self, exchange: Exchange, refusal: Refusal) -> Answer:
        if refusal.status == _NOT_IMPLEMENTED:
            exchange.reason = NOT_IN_BACKEND
        return self._error(exchange, refusal.status, refusal.message, code=refusal.code)

    def _forward(self, exchange: Exchange, call: Call, head: RequestHead, body: bytes) -> Forward | Answer:
        """Say where a call goes and how; `head` is the request's as AWS would get it."""
        context = CallContext(call=call, route=None, from_browser=head.get(b"origin") is not None)
        exchange.context = context
        if not call.service:
            return self._unclassified(exchange, call)
        if body and not call.operation and not exchange.body_whole and call.protocol in _FORMS:
            return self._error(exchange, 400, f"no Action within the first {len(body)} bytes", code="MissingAction")
        route = context.route = self.routes.choose(call.service)
        whole = body if exchange.body_whole else None
        account = self._accounts.of(call.access_key) if self._accounts.named else ""
        made = canonical.canonicalise(call, head, route.profile, body=whole, account=account, clock=self._clock)
        replaced: bytes | None = None
        if isinstance(made, Refusal):
            return self._refused(exchange, made)
        if isinstance(made, Changed):
            context.answered, replaced, made = made.answered, made.body, made.head
        head = made
        if not route.local:
            head = without_secrets(head)
        if head.get(ENGINE_FIELD) is not None:
            head = head.with_fields(drop=(ENGINE_FIELD,))
        return Forward(upstream=route.upstream, head=head, context=context, body=replaced)

    @override
    def same(self, exchange: Exchange, forward: Forward) -> Same | None:
        """Say which calls are forwarded as this one."""
        return self._planner.same(exchange, forward, self.response)

    # responses

    @override
    def response(self, exchange: Exchange, head: ResponseHead) -> ResponseHead | Gather:
        """Return the head that the client gets."""
        context = exchange.context
        if not isinstance(context, CallContext) or context.route is None:
            return head
        given = head.get(b"x-amzn-requestid") or head.get(b"x-amz-request-id")
        context.request_id = given.decode("latin-1") if given else new_request_id()
        date = b"" if head.get(b"date") is not None else self._http_date()
        given_head = rewrite_head(
            context.call, head, context.route.profile, context.request_id, origin=context.from_browser, date=date
        )
        if context.answered is not None and head.status >= _FINAL:
            return Gather(head=given_head, bytes_max=BODY_MAX)
        if is_doubtful(context.call, head, context.route.profile):
            return Gather(head=given_head, bytes_max=DOUBTFUL_MAX)
        sheet = answers.sheet_for(context.call, context.route, head.status, outward=context.base is not None)
        if sheet is not None and holds_text(head):  # event streams are told as they come
            return Gather(head=given_head, bytes_max=answers.bytes_max(sheet))
        return backend_errors.gather(context, given_head)

    @override
    def gathered(self, exchange: Exchange, head: ResponseHead, body: bytes) -> Answer:
        """Return what the client gets for an answer that was collected whole."""
        context = exchange.context
        if isinstance(context, CallContext) and context.route is not None:
            refused = unserved(context.call, head, body, context.route.profile)
            if refused is not None:
                return self._refused(exchange, refused)
            head, body, _ = answers.rewritten(exchange, context, head, body, self.tally)
            if context.answered is not None:
                made = answered(context.answered, context.call, head, body, now=self._clock())
                return backend_errors.told(context, made)
        return backend_errors.told(context, Answer(status=head.status, fields=head.fields, body=body))

    @override
    def overgrown(
        self, exchange: Exchange, head: ResponseHead, body_so_far: bytes
    ) -> tuple[ResponseHead, Filter | None]:
        """Return what becomes of an answer that is too long to be collected."""
        context = exchange.context
        if not isinstance(context, CallContext) or context.answered is not None:
            return head, None
        return backend_errors.instead(context, head) or answers.streamed(exchange, context, head, self.tally)

    @override
    def failed(self, exchange: Exchange, failure: Failure, detail: str) -> Answer:
        """Answer in the client's protocol, naming the endpoint; every SDK tries again."""
        context = exchange.context
        route = context.route if isinstance(context, CallContext) else None
        told = outages.outage(failure)
        text = outages.message(failure, (route or self.routes.backend).url, detail)
        return self._error(exchange, told.status, text, code=told.code)

    @override
    def invalid(self, exchange: Exchange | None, status: int, detail: str) -> Answer:
        """Answer a request that can't be understood, in the form of whatever its service speaks, as far as known."""
        if exchange is None:
            return Answer(status=status, fields=((b"Content-Type", b"text/plain"),), body=f"{detail}\n".encode())
        return self._error(exchange, status, detail)

    def _error(self, exchange: Exchange, status: int, message: str, *, code: str = "") -> Answer:
        context = exchange.context
        if isinstance(context, CallContext):
            call = context.call
            request_id = context.request_id = context.request_id or new_request_id()
        else:
            call, request_id = self._guess(exchange), new_request_id()
        answer = error_answer(
            call,
            status=status,
            code=code or CODES.get(status, "BadRequest"),
            message=message,
            request_id=request_id,
            head_only=exchange.head.method == b"HEAD",
        )
        return Answer(status=answer.status, fields=(*answer.fields, (b"Date", self._http_date())), body=answer.body)

    def _guess(self, exchange: Exchange) -> Call:
        return classify(exchange.head, name=exchange.name)

    def _http_date(self) -> bytes:
        second = int(self._clock().timestamp())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]

    # notes

    def _log_now(self, spell: Callable[..., bytes], values: tuple[Any, ...]) -> None:
        self._log(spell(*values))

    @override
    def record(self, exchange: Exchange) -> None:
        """Log and count a finished exchange."""
        context = exchange.context
        if isinstance(context, CallContext):
            self.tally.call(context.call.service, exchange)
            self._log(self._lines.line(exchange, context, self._clock()))
            return
        record = exchange_record(exchange, self._clock())
        if record is not None:
            self.tally.exchange(record)
            self._log(line_of(record))

    @override
    def closed(
        self, connection: Connection, verdict: Verdict, peeked: Peeked, reason: str, sent: int, received: int
    ) -> None:
        """Log and count what could not be served; passes are only counted."""
        if isinstance(verdict, Pass):
            self.tally.passed(sent + received)
        record = connection_record(connection, verdict, peeked, reason, self._clock())
        if record is not None:
            self.tally.connection(record)
            self._log(line_of(record))
