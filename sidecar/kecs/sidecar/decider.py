"""The sidecar's decisions: which connections are intercepted, where their requests go, what is answered here.

A connection, by what was seen first (destination "given out" = by the DNS forwarder, for an AWS name):

destination     wire              name               verdict
--------------  ----------------  -----------------  ------------------------------------------------------------
metadata :80    (not looked at)                      served
any             TLS, HTTP, CONN.  AWS, passed host   pass
any             TLS               AWS, wants mTLS    refuse aws_name_wants_client_certificate
any             TLS               AWS, no valid      refuse no_certificate, certificate_not_valid: never pass
                                  intermediate now
any             TLS               AWS                terminate; handover where the engine is needed
any             HTTP, CONNECT     AWS                serve
given out       TLS               none               terminate with the name it was given out for
given out       HTTP              none               serve
given out       TLS, HTTP, CONN.  other              refuse other_name_at_aws_address
given out       other, silent                        refuse aws_address_other_protocol
loopback, not on 443 and 80: pass, but for CONNECT   (somebody's own server; an AWS name there is on purpose)
else                                                 pass
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, Protocol, override

from kecs.aws import canonical
from kecs.aws.accounts import Accounts
from kecs.aws.call import Call
from kecs.aws.call import Protocol as Spoken
from kecs.aws.canonical_answers import BODY_MAX, DOUBTFUL_MAX, answered, is_doubtful, unserved
from kecs.aws.canonical_types import Changed, Refusal
from kecs.aws.classify import body_wanted, classify
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.aws.hosts import is_aws_name, normalise, wants_client_certificate
from kecs.aws.recall import Recall
from kecs.aws.rewrite import rewrite_head
from kecs.aws.rewrite_body import holds_text
from kecs.aws.unclassified import Sighting, Sightings
from kecs.relay.decide import (
    Connection,
    Decider,
    Exchange,
    Failure,
    Filter,
    Forward,
    Gather,
    Give,
    Handover,
    Look,
    Pass,
    Peeked,
    Refuse,
    Same,
    Serve,
    Terminate,
    Verdict,
    Wire,
)
from kecs.sidecar import answers, backend_errors, metadata, outages
from kecs.sidecar.accesslog import connection_record, exchange_record, line_of, unclassified_record
from kecs.sidecar.call_line import CallLines
from kecs.sidecar.config import EngineMode, SidecarConfig
from kecs.sidecar.context import CallContext, MetadataContext, new_request_id
from kecs.sidecar.engine_hosts import matches
from kecs.sidecar.engine_origin import read_mark
from kecs.sidecar.metrics import Tally
from kecs.sidecar.planning import Later, Planner
from kecs.sidecar.refusals import CODES
from kecs.sidecar.routes import ENGINE_FIELD, Routes, without_secrets

REDIRECT: Final = "redirect"
ADMIN: Final = "admin"
PROBE: Final = "probe"
ENGINE: Final = "engine"
UNCLASSIFIED: Final = "unclassified"
NOT_IN_BACKEND: Final = "not_in_backend"

_HOSTS_KEPT: Final = 1024
_FINAL: Final = 200
_NOT_IMPLEMENTED: Final = 501
_FORMS: Final = frozenset({Spoken.QUERY, Spoken.EC2})
_INTERCEPTED_PORTS: Final = frozenset({443, 80})
_HTTP_1: Final = frozenset({"http/1.1", "http/1.0"})
_NAMED: Final = frozenset({Wire.TLS, Wire.HTTP, Wire.CONNECT})


class Names(Protocol):
    """Who knows which addresses were given out for AWS names."""

    def name_of(self, address: str) -> str | None:
        """Return the name that an address was given out for."""


class Engine(Protocol):
    """The second engine, as the decider sees it."""

    secret: bytes
    """What requests on their way back carry."""

    def handover(self, connection: Connection) -> Handover | Give | None:
        """Say how a connection gets there, starting it where it does not run yet; None when it can't be had."""


class NoNames:
    """No address was given out."""

    def name_of(self, address: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Know nothing."""
        return None


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _seconds(clock: Callable[[], datetime]) -> Callable[[], float]:
    return time.time if clock is _utc_now else lambda: clock().timestamp()


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


@lru_cache(maxsize=_HOSTS_KEPT)
def _asked(field: bytes | None) -> tuple[str, bool]:
    """Return the Host field's name, and whether it is AWS's; it may be no name at all, but then it is not empty."""
    value = (field or b"").decode("latin-1").strip()
    name = value if value.startswith("[") else normalise(value.partition(":")[0]) or value
    return name, is_aws_name(name)


class _Judged(NamedTuple):
    """What a name and the protocols offered with it mean for every connection."""

    is_aws: bool
    passes: bool
    wants_client_certificate: bool
    needs_engine: bool


def _judge(config: SidecarConfig, name: str, alpn: tuple[str, ...]) -> _Judged:
    return _Judged(
        is_aws=is_aws_name(name),
        passes=config.passes(name),
        wants_client_certificate=wants_client_certificate(name, alpn),
        needs_engine=_needs_engine(config, name, alpn),
    )


def _needs_engine(config: SidecarConfig, name: str, alpn: tuple[str, ...]) -> bool:
    if config.engine is not EngineMode.OFF and matches(config.engine_hosts, name):
        return True
    match config.engine:
        case EngineMode.OFF:
            return False
        case EngineMode.INSPECT | EngineMode.WATCH:
            return True
        case EngineMode.ON_DEMAND:
            return bool(alpn) and _HTTP_1.isdisjoint(alpn)


class SidecarDecider(Decider):
    """See the module. It holds no sockets: only counts, and the clock it was given."""

    def __init__(
        self,
        config: SidecarConfig,
        *,
        names: Names | None = None,
        engine: Engine | None = None,
        log: Callable[[bytes], None] | None = None,
        log_later: Later | None = None,
        admin: Callable[[RequestHead], Answer] | None = None,
        probe: Callable[[RequestHead], Answer] | None = None,
        lack: Callable[[], str] = str,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.config = config
        self.routes = Routes.of(config)
        self._accounts = Accounts.parse(config.accounts)
        self.tally = Tally()
        self._judged = lru_cache(maxsize=_HOSTS_KEPT)(partial(_judge, config))
        self._names = NoNames() if names is None else names  # one that has no names yet is false
        self._engine = engine
        self._log = log or (lambda _: None)
        self._own = {ADMIN: admin, PROBE: probe}
        self._lack = lack
        self._clock = clock
        self._sightings = Sightings()
        self._date = (0, b"")
        self._lines = CallLines()
        self._recall = Recall()
        self._planner = Planner(
            self._recall,
            self.tally,
            lines=self._lines,
            log_later=log_later or self._log_now,
            clock=_seconds(clock),
            date=self._http_date,
        )

    # connections

    @override
    def look(self, connection: Connection) -> Look:
        """Say how to treat a connection before its first bytes are known."""
        host, port = connection.destination
        if connection.origin != REDIRECT or metadata.serves(host, port):
            return Look.SERVE
        if self._names.name_of(host) is not None:
            return Look.WAIT
        return Look.PEEK if port in _INTERCEPTED_PORTS else Look.DIAL

    @override
    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        """Decide on the first bytes; the module's table."""
        verdict = self._decide(connection, peeked)
        self.tally.verdict(verdict)
        return verdict

    def _decide(self, connection: Connection, peeked: Peeked) -> Verdict:
        host, port = connection.destination
        given = self._names.name_of(host)
        named = peeked.wire in _NAMED
        own_server = _is_loopback(host) and port not in _INTERCEPTED_PORTS and peeked.wire is not Wire.CONNECT
        if named and self._judged(peeked.name, peeked.alpn).is_aws and not (own_server and given is None):
            return self._intercept(connection, peeked, peeked.name)
        if given is None:
            return Pass()
        if not named:
            return Refuse(reason="aws_address_other_protocol")
        if peeked.name or peeked.wire is Wire.CONNECT:
            return Refuse(reason="other_name_at_aws_address")
        return self._intercept(connection, peeked, given)

    def _intercept(self, connection: Connection, peeked: Peeked, name: str) -> Verdict:
        judged = self._judged(name, peeked.alpn)
        if judged.passes:
            return Pass()
        if peeked.wire is Wire.CONNECT:
            return Serve()
        if peeked.wire is Wire.TLS and judged.wants_client_certificate:
            return Refuse(reason="aws_name_wants_client_certificate")
        lack = self._lack() if peeked.wire is Wire.TLS else ""
        if lack:
            return Refuse(reason=lack)
        # the engine has the name from the client or not at all
        needs_engine = bool(peeked.name) and judged.needs_engine
        handover = self._engine.handover(connection) if self._engine is not None and needs_engine else None
        if handover is not None:
            return handover
        return Terminate(name=name) if peeked.wire is Wire.TLS else Serve()

    # requests

    @override
    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        """Return how much of the body classification needs."""
        host, port = connection.destination
        if connection.origin in self._own or (connection.origin == REDIRECT and metadata.serves(host, port)):
            return 0
        changed = canonical.body_wanted(head, self.routes.backend.profile)
        return changed or body_wanted(head, name=self._names.name_of(host) or "")

    @override
    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        """Choose an upstream and the head it gets, or answer."""
        connection, head = exchange.connection, exchange.head
        host, port = connection.destination
        if connection.origin in self._own:
            answer = self._own[connection.origin]
            return answer(head) if answer is not None else Answer(status=404)
        if connection.origin == REDIRECT and metadata.serves(host, port):
            exchange.context = MetadataContext(address=host)
            return metadata.answer(host, head, config=self.config, now=self._clock())
        if connection.origin == ENGINE and not self._from_engine(exchange):
            exchange.reason = "not_from_engine"
            return Answer(status=403)
        return self._call(exchange, body)

    def _from_engine(self, exchange: Exchange) -> bool:
        """Say whether this comes from our engine, and note whose request it is."""
        # Any program on the machine may connect to loopback; who has not the secret is not our engine.
        marked = exchange.head.get(ENGINE_FIELD)
        origin = read_mark(marked, self._engine.secret) if marked is not None and self._engine is not None else None
        if origin is None:
            return False
        exchange.connection = replace(exchange.connection, client=origin.client, destination=origin.destination)
        return True

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

    def _call(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        connection, head = exchange.connection, exchange.head
        name = exchange.name or self._names.name_of(connection.destination.host) or ""
        asked, is_aws = _asked(head.get(b"host"))
        call = self._recall.classify(head, name=name, body=body)
        context = CallContext(call=call, route=None, from_browser=head.get(b"origin") is not None)
        exchange.context = context
        if not (is_aws if asked else is_aws_name(name)):
            exchange.reason = "misdirected"
            return self._error(exchange, 421, f"this connection is for {name or 'AWS names'}, not for {asked!r}")
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
    def alike(self, connection: Connection, name: str) -> Hashable | None:
        """Return the name that was asked for: with it a head decides where it goes."""
        return name if name and connection.origin == REDIRECT and not metadata.serves(*connection.destination) else None

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
        sheet = answers.sheet_for(context.call, context.route, head.status)
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
        if exchange is None or exchange.connection.origin in self._own:
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
