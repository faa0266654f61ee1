"""The short way of a request and its answer: both fit a plan, both are there whole, and a connection is kept.

Nothing is made for such an exchange but what is sent. Wherever it turns out to be another one (a longer answer, an
answer of another form, a connection that has died, a client that leaves), it becomes an ordinary `Transfer` on the
spot, as if it had been one from the beginning.
"""

import re
import time
from enum import Enum, auto
from typing import Final, Protocol

from kecs.aws.head import Answer
from kecs.relay import transfer
from kecs.relay.decide import Connection, Exchange, Forward
from kecs.relay.framing import Request
from kecs.relay.plans import AnswerPlan, RequestPlan, Shelf, plan_request
from kecs.relay.stream import Stream
from kecs.relay.templates import RequestReader
from kecs.relay.transfer import Means, Transfer

_HELD_MAX: Final = 65536
"""A body of this size at most is waited for: many programs send the head first, as clients and as servers."""
_READS_MAX: Final = 8


class Begun(Enum):
    """What became of bytes that may be a request."""

    NO = auto()
    """They go the ordinary way."""
    SENT = auto()
    """The request is on its way."""
    HELD = auto()
    """A part of its body is missing: it is tried again with what comes next (`more`), or given up soon (`drop`)."""


class Client(transfer.Client, Protocol):
    """Whose requests they are."""

    leaving: bool
    """The connection ends with this answer."""

    def carried(self, data: bytes, *, keep_alive: bool) -> None:
        """Send a whole answer."""

    def take_over(self, exchange: Exchange, request: Request, transfer: Transfer) -> None:
        """Go the ordinary way with a request that was sent, whole."""


class FastPath:
    """One session's. Owner of the upstream's stream while a request is under way."""

    __slots__ = (
        "_connection", "_data", "_end", "_fits", "_got", "_means", "_name", "_out", "_plan", "_reads", "_session",
        "_shelf", "_started", "_stream", "deadline", "missing",
    )  # fmt: skip

    def __init__(self, means: Means, session: Client, shelf: Shelf, connection: Connection, name: str) -> None:
        self._means = means
        self._session = session
        self._shelf = shelf
        self._connection, self._name = connection, name
        self._plan: RequestPlan | None = None
        self._data = self._out = self._got = b""
        self._end = 0
        self._started = 0.0
        self._stream: Stream | None = None
        self.deadline = 0.0
        """When the upstream has had its time for an answer; in the loop's time."""
        self.missing = 0
        """How much a request's body lacks that is waited for."""
        self._reads = 0
        """How often that, or the rest of an answer, was waited for."""
        self._fits = False
        """What came last fits a plan."""

    @property
    def under_way(self) -> bool:
        """Whether a request was sent on and not answered yet."""
        return self._stream is not None

    def met(self, exchange: Exchange, request: Request, forward: Forward) -> None:
        """Learn of a request that went the ordinary way; now and then a plan is made of one."""
        if self._fits or not self._shelf.due(request.head.shape) or not self._is_simple(request):
            return
        same = self._means.decider.same(exchange, forward)
        if same is None:
            return
        plan = plan_request(
            request.head,
            forward.head,
            same,
            forward.upstream,
            keep_alive=request.keep_alive,
            fields_max=self._means.config.head_fields_max,
        )
        if plan is not None:
            self._shelf.add(plan)

    def _is_simple(self, request: Request) -> bool:
        """Whether all requests of this one's names are read alike: one without a body tells little of those with."""
        means = self._means
        if request.http_1_0:
            return False
        if b"content-length" not in request.head.shape.index:
            return True
        short = means.config.replay_bytes_max >= _HELD_MAX
        return short and not means.decider.body_wanted(self._connection, request.head)

    def begin(self, data: bytes) -> Begun:
        """Send a request on, if it can go this way."""
        self._fits = False
        for place, plan in enumerate(self._shelf.plans):  # noqa: B007 - used below
            match = plan.match(data)
            if match is not None:
                break
        else:
            return Begun.NO
        self._fits = True
        end = match.end()
        length = int(match[plan.length]) if plan.length else 0
        missing = end + length - len(data)
        if end > self._means.config.head_bytes_max or missing < 0 or length > _HELD_MAX:
            return Begun.NO
        if place:
            self._shelf.use(place)
        self._started = time.monotonic()
        self._plan, self._data, self._end = plan, data, end
        self._out = data if plan.whole else plan.spell(match) + data[end:]
        if missing:
            self.missing, self._reads = missing, 1
            return Begun.HELD
        return self._send(plan)

    def more(self, data: bytes) -> Begun:
        """Take more of a body that is waited for; where the answer is NO, `drop` is to follow."""
        plan, missing = self._plan, self.missing - len(data)
        self._reads += 1
        if plan is None or missing < 0 or self._reads > _READS_MAX:
            return Begun.NO
        self._data += data
        self._out += data
        begun = Begun.HELD if missing else self._send(plan)
        if begun is not Begun.NO:
            self.missing = missing
        return begun

    def drop(self) -> float:
        """Wait no longer for the rest of a body; return when its request began."""
        self.missing = 0
        self._forget()
        return self._started

    def _send(self, plan: RequestPlan) -> Begun:
        means = self._means
        pool = means.pool
        stream = pool.idle(plan.upstream) if pool.waiting < means.config.requests_max else None
        if stream is None:
            self._forget()
            return Begun.NO
        self._stream, self._reads = stream, 0
        self.deadline = means.loop.time() + means.config.first_byte_timeout_s
        pool.waiting += 1
        counters = means.counters
        counters["requests"] += 1
        counters["requests_planned"] += 1
        counters["upstream_reused"] += 1
        stream.owner = self
        stream.write(self._out)
        return Begun.SENT

    def let_go(self) -> None:
        """Wait no longer for the rest of an answer: if it was waited for, it goes the ordinary way now."""
        stream = self._stream
        if self._got and stream is not None:
            self.leave()
            stream.look()

    def leave(self) -> Transfer:
        """Go the ordinary way from here on. Where the decider raises, nothing is under way any more."""
        data, end, stream, out, got = self._data, self._end, self._stream, self._out, self._got
        self._forget()
        means = self._means
        request = RequestReader().read(data[:end], fields_max=means.config.head_fields_max)
        exchange = Exchange(
            connection=self._connection,
            name=self._name,
            head=request.head,
            started=self._started,
            body_whole=request.body.done,
        )
        exchange.request_bytes = request.body.take(data[end:])
        try:
            decision = self._decision(exchange)
        except Exception:
            means.pool.waiting -= 1
            if stream is not None:
                stream.abort()
            raise
        made = Transfer(means, self._session, exchange, request, decision)
        made.end()
        if stream is not None:
            made.adopt(stream, out)
        self._session.take_over(exchange, request, made)
        if stream is not None and got:
            made.received(stream, got)
        return made

    def _decision(self, exchange: Exchange) -> Forward:
        decision = self._means.decider.request(exchange, b"")
        if isinstance(decision, Answer):
            raise RuntimeError("what was sent on is answered here")  # noqa: TRY004 - no caller's mistake
        return decision

    def abandon(self) -> None:
        """Go the ordinary way, if something is under way, since the client is gone: it ends as all others do."""
        stream = self._stream
        if stream is None:
            return
        try:
            self.leave()
        except Exception as fault:  # noqa: BLE001 - of the decider: the session ends nevertheless
            self._means.counters["internal_errors"] += 1
            stream.report(fault)

    def _forget(self) -> None:
        self._plan = self._stream = None
        self._data = self._out = self._got = b""

    # what the upstream's stream tells

    def received(self, stream: Stream, data: bytes) -> bool:
        """Take the answer; say whether more has to come."""
        plan = self._plan
        if plan is None:
            return False
        whole = self._got + data if self._got else data
        for answer in plan.answers:
            match = answer.match(whole)
            if match is None:
                continue
            missing = match.end() + (int(match[answer.length]) if answer.body else 0) - len(whole)
            if self._session.leaving:
                break
            if not missing:
                self._answered(plan, answer, match, whole, stream)
                return False
            if 0 < missing <= _HELD_MAX and self._reads < _READS_MAX:
                self._got, self._reads = whole, self._reads + 1
                return True
            break
        else:
            plan.met(whole)
        return self.leave().received(stream, data)

    def _answered(
        self, plan: RequestPlan, answer: AnswerPlan, match: re.Match[bytes], data: bytes, stream: Stream
    ) -> None:
        head, identity = answer.spell(match)
        end = match.end()
        sent = len(self._data) - self._end
        self._forget()
        pool = self._means.pool
        pool.waiting -= 1
        pool.put(plan.upstream, stream)
        try:
            self._session.carried(head + data[end:], keep_alive=plan.keep_alive)
            plan.same.note(self._started, time.monotonic(), answer.status, sent, len(data) - end, identity)
        except Exception as fault:  # noqa: BLE001 - of the decider: the client's connection ends, no other
            self._session.crash(fault)

    def ended(self, stream: Stream) -> None:
        """The upstream closed before it answered."""
        self.leave().ended(stream)

    def lost(self, stream: Stream, error: OSError) -> None:
        """The upstream's connection broke."""
        if self._plan is None:  # by a fault of ours, while the ordinary way was looked for
            self._session.crash(error)
            return
        try:
            left = self.leave()
        except Exception as fault:  # noqa: BLE001 - of the decider: the client's connection ends, no other
            self._session.crash(fault)
        else:
            left.lost(stream, error)

    def drained(self, stream: Stream) -> None:
        """The request has been sent."""
