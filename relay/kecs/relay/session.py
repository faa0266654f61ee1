"""The client's side of HTTP/1.1: requests in order, one at a time, on a connection that is kept alive."""

import time
from collections.abc import Callable
from typing import Final

from kecs.aws.head import Answer, Fields, RequestHead
from kecs.core.errors import ProtocolError
from kecs.relay import answers, framing
from kecs.relay.decide import Connection, Exchange, Failure
from kecs.relay.fast_path import Begun, FastPath
from kecs.relay.framing import Body, Request
from kecs.relay.join import Joined
from kecs.relay.occupancy import Limit
from kecs.relay.showing import Showing
from kecs.relay.states import QUIET, State
from kecs.relay.stream import HIGH_WATER, LOW_WATER, CrashError, Stream
from kecs.relay.templates import RequestReader
from kecs.relay.transfer import GO_ON, Means, Transfer

_KEEP: Final = ((b"Connection", b"keep-alive"),)
_CLOSE: Final = ((b"Connection", b"close"),)
_NO_HEAD: Final = RequestHead(method=b"", target=b"", fields=())
_FIELDS_TOO_LARGE: Final = 431


class Session:
    """Owner of a client's stream. `closed` is called once, at the end."""

    __slots__ = (
        "_body", "_closed", "_connection", "_discarding", "_dropped", "_exchange", "_fast",
        "_heads", "_held", "_in", "_limit", "_means", "_request", "_searched", "_showing", "_state", "_stream",
        "_transfer", "deadline", "http_1_0", "joined", "leaving", "name", "received_bytes", "sent_bytes",
    )  # fmt: skip

    def __init__(
        self, means: Means, stream: Stream, connection: Connection, name: str, closed: Callable[["Session", str], None]
    ) -> None:
        self._means, self._stream = means, stream
        self._closed: Callable[[Session, str], None] | None = closed
        self._connection, self.name = connection, name
        self._in, self._searched = bytearray(), 0
        self._heads = RequestReader()
        self._state = State.HEAD
        self._held = False
        """The upstream takes no more of the body for now."""
        self._request: Request | None = None
        self._body: Body | None = None
        self._exchange: Exchange | None = None
        self._transfer: Transfer | None = None
        self._showing: Showing | None = None
        self._discarding, self._dropped = False, 0
        """The rest of the body is read and dropped: the answer came before its end."""
        self.leaving = False
        """No request after this one."""
        self._limit: Limit | None = None
        """Not to be carried: a request is answered 503."""
        self.http_1_0 = False
        self.joined: Joined | None = None
        self.sent_bytes = self.received_bytes = 0
        self.deadline = means.loop.time() + means.config.idle_timeout_s
        shelf = means.shelves.find(means.decider.alike(connection, name))
        self._fast = None if shelf is None else FastPath(means, self, shelf, connection, name)
        stream.owner = self

    # what the stream tells

    def received(self, stream: Stream, data: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """Take bytes from the client; say whether more has to come."""
        self.received_bytes += len(data)
        fast = self._fast
        if fast is not None and self._state is State.HEAD and not self.leaving and not (self._in and self._exchange):
            begun = fast.more(data) if fast.missing else fast.begin(bytes(self._in) + data if self._in else data)
            if begun is not Begun.NO:
                return self._went_fast(begun, data)
        if self._state is State.BODY and not self._in:
            rest = self._carry(data)
            if rest:
                self._in += rest
                self._advance()
        elif self._state is not State.LINGER:
            self._in += data
            if self._state is not State.WAIT:
                self._advance()
            elif len(self._in) > self._means.config.pipelined_bytes_max:
                self._stream.pause()
        state = self._state
        return state is not State.WAIT and (state is not State.HEAD or bool(self._in))

    def ended(self, stream: Stream) -> None:  # noqa: ARG002 - the protocol's
        """The client sends no more: requests that are complete still get their responses."""
        if self._state in {State.SHOW, State.BODY}:
            self._end("client_closed")
        elif self._fast is not None and self._fast.missing:
            self._continue()
        elif self._state in {State.HEAD, State.LINGER}:
            self._leave_when_sent()

    def lost(self, stream: Stream, error: OSError) -> None:  # noqa: ARG002 - the protocol's
        """The client's connection broke."""
        crashed = isinstance(error, CrashError)
        self._means.counters["internal_errors"] += crashed
        self._end("internal_error" if crashed else "client_reset")

    def drained(self, stream: Stream) -> None:
        """The client took what was buffered."""
        if self._transfer is not None:
            self._transfer.pause(full=False)
        elif self._state is State.HEAD:
            stream.resume()
            self._continue()
        elif self._state is State.LINGER and not stream.buffered:
            if stream.closed or stream.eof:
                self._end("")
            else:
                self.deadline = self._means.loop.time() + self._means.config.linger_s

    # requests

    def _advance(self) -> None:
        """Go on with what is there, as far as it goes: what the fast way waits with goes this one now."""
        if self._fast is not None and self._fast.missing:
            self._exchange = self._new_exchange(self._fast.drop())
        while True:
            if self._state is State.HEAD:
                if self._stream.buffered > HIGH_WATER:
                    self._stream.pause()  # until the client takes the answers to what it has asked already
                    return
                if not self._read_head():
                    return
            elif self._state is State.SHOW:
                if not self._show():
                    return
            elif self._state is State.BODY and self._in:
                data = bytes(self._in)
                self._in.clear()
                self._in += self._carry(data)
            else:
                return

    def _read_head(self) -> bool:
        """Parse a head when it is there whole; say whether it was."""
        config = self._means.config
        if not self._searched:
            while self._in[:2] == b"\r\n":  # RFC 9112 section 2.2: empty lines before a request
                del self._in[:2]
            if not self._in:
                return False
            if self._exchange is None:
                self.deadline = self._means.loop.time() + config.head_timeout_s
                self._exchange = self._new_exchange(time.monotonic())
        end = framing.head_end(self._in, self._searched)
        if end < 0 or end > config.head_bytes_max:
            self._searched = len(self._in)
            if self._searched > config.head_bytes_max:
                self._means.counters[Limit.HEAD_BYTES] += 1
                self._refuse(431, f"the request head is longer than {config.head_bytes_max} bytes", Limit.HEAD_BYTES)
            return False
        raw = bytes(self._in[:end])
        del self._in[:end]
        self._searched = 0
        try:
            self._request = self._heads.read(raw, fields_max=config.head_fields_max)
        except ProtocolError as error:
            too_many = error.status == _FIELDS_TOO_LARGE
            self._means.counters[Limit.HEAD_FIELDS] += too_many
            self._refuse(error.status, error.message, Limit.HEAD_FIELDS if too_many else None)
            return False
        self._accept(self._request)
        return self._state is not State.LINGER

    def _new_exchange(self, started: float) -> Exchange:
        return Exchange(connection=self._connection, name=self.name, head=_NO_HEAD, started=started)

    def _accept(self, request: Request) -> None:
        exchange = self._exchange or self._new_exchange(time.monotonic())
        self._exchange = exchange
        exchange.head = request.head
        self.http_1_0 = request.http_1_0
        self.leaving = self.leaving or not request.keep_alive
        self._body = request.body
        self._means.counters["requests"] += 1
        wanted = 0 if request.body.done else self._means.decider.body_wanted(self._connection, request.head)
        if wanted:
            self._showing = Showing(request.body, wanted)
            self._state = State.SHOW
            self.deadline = self._means.loop.time() + self._means.config.body_timeout_s
            if request.expects_continue:
                self.respond(GO_ON)  # the decision needs the body
        else:
            exchange.body_whole = request.body.done
            self._decide(b"")

    def _show(self) -> bool:
        """Collect the body's beginning; say whether the decision was made."""
        showing = self._showing
        if showing is None or not self._in:
            return False
        try:
            del self._in[: showing.take(bytes(self._in))]
        except ProtocolError as error:
            self._refuse(error.status, error.message)
            return False
        if showing.is_enough and self._exchange is not None:
            self._exchange.body_whole = showing.is_whole
            self._decide(showing.shown)
        return showing.is_enough

    def _decide(self, shown: bytes) -> None:
        exchange, request = self._exchange, self._request
        if exchange is None or request is None or self._body is None:
            return
        showing, self._showing = self._showing, None
        collected = b"" if showing is None else bytes(showing.collected)
        self._held = False
        exchange.request_bytes = len(collected)
        decision = self._means.decider.request(exchange, shown)
        self._state = State.WAIT if self._body.done else State.BODY
        self.deadline = 0.0 if self._body.done else self._means.loop.time() + self._means.config.body_timeout_s
        if isinstance(decision, Answer):
            self._answer(decision)
            return
        if decision.body is not None and not exchange.body_whole:  # the rest would be taken for a request
            raise RuntimeError("a body was replaced that had not been shown whole")
        pool = self._means.pool
        if self._limit is not None or pool.waiting >= self._means.config.requests_max:
            self._overloaded(exchange, self._limit or Limit.REQUESTS)
            return
        if self._fast is not None and showing is None and decision.body is None:
            self._fast.met(exchange, request, decision)
        pool.waiting += 1
        transfer = Transfer(self._means, self, exchange, request, decision)
        self._transfer = transfer
        if self._body.done:
            transfer.end()
        transfer.start(collected if decision.body is None else decision.body)

    def _carry(self, data: bytes) -> bytes:
        """Carry body bytes to the transfer; return what belongs to the next request."""
        body = self._body
        if body is None:
            return data
        try:
            count = body.take(data)
        except ProtocolError as error:
            self._give_up_body(error.status, error.message)
            return b""
        taken = data if count == len(data) else data[:count]
        if self._exchange is not None:
            self._exchange.request_bytes += count
        if self._discarding or self._transfer is None:
            self._dropped += count
            if self._dropped > self._means.config.discard_bytes_max:
                self._means.counters[Limit.DISCARD] += 1
                self._linger()
                return b""
        elif not body.done:
            self._transfer.body(taken)
        else:
            self._transfer.end()
            self._transfer.body(taken)
        if not body.done:
            self.deadline = self._means.loop.time() + self._means.config.body_timeout_s
            return b""
        self.deadline = 0.0
        self._state = State.WAIT
        if self._discarding:
            self._next()
        return data[count:]

    def _went_fast(self, begun: Begun, data: bytes) -> bool:
        if begun is Begun.HELD:
            self._in += data
            return False  # `_check` looks for a reset behind this, if the rest does not come
        if self._in:
            self._in.clear()
        self._state, self.deadline, self.http_1_0 = State.WAIT, 0.0, False
        return False

    def carried(self, data: bytes, *, keep_alive: bool) -> None:
        """Send a whole answer that came the fast way, and be ready for the next request."""
        self.sent_bytes += len(data)
        self._stream.write(data)
        if not keep_alive:
            self.leaving = True
            self._close_when_sent()
        elif self._in or self._stream.eof or self._stream.buffered:
            self._next()
        else:
            self._state = State.HEAD
            self.deadline = self._means.loop.time() + self._means.config.idle_timeout_s

    def take_over(self, exchange: Exchange, request: Request, transfer: Transfer) -> None:
        """Go the ordinary way with a request that was sent, whole, the fast way."""
        self._exchange, self._request, self._body, self._transfer = exchange, request, request.body, transfer
        self.leaving = self.leaving or not request.keep_alive

    # responses

    def respond(self, data: bytes) -> None:
        """Send bytes to the client; slow the upstream down when it does not take them."""
        if data:
            self.sent_bytes += len(data)
            self._stream.write(data)
            if self._transfer is not None and self._stream.buffered > HIGH_WATER:
                self._transfer.pause(full=True)

    def hold(self, *, full: bool) -> None:
        """Stop or go on reading the request: the upstream can't take more, or can again."""
        self._held = full
        if full:
            self._stream.pause()
        elif self._state is State.BODY:
            self.deadline = self._means.loop.time() + self._means.config.body_timeout_s
            self._stream.resume()

    def closing_fields(self, *, keep_alive: bool) -> Fields:
        """Return the Connection field that a response needs."""
        self.leaving = self.leaving or not keep_alive
        if self.leaving:
            return _CLOSE
        return _KEEP if self.http_1_0 else ()

    def responded(self, *, keep_alive: bool) -> None:
        """Note that the response is complete."""
        self._transfer = None
        self._means.pool.waiting -= 1
        self.leaving = self.leaving or not keep_alive
        self._record("")
        if self._state is State.BODY:
            self._discard()
        else:
            self._next()

    def failed(self, failure: Failure, detail: str, *, answered: bool) -> None:
        """Answer for an upstream that did not; what has begun to be answered can only be broken off."""
        self._transfer = None
        self._means.pool.waiting -= 1
        exchange = self._exchange
        if exchange is None:
            return
        exchange.reason = failure.value
        if answered:
            self._record(failure.value)
            self._stream.abort()
            self._end(failure.value)
            return
        self._answer(self._means.decider.failed(exchange, failure, detail), reason=failure.value)

    def _overloaded(self, exchange: Exchange, limit: Limit) -> None:
        """Answer that there is no room: at once, since a client that waits would only make it worse."""
        self._means.counters[Limit.REQUESTS] += limit is Limit.REQUESTS
        answer = self._means.decider.failed(exchange, Failure.OVERLOAD, limit)
        exchange.reason = limit
        self._answer(answer, keep_alive=self._limit is None, reason=limit)

    def switch(self, upstream: Stream, first: bytes) -> None:
        """Join client and upstream for good."""
        self.respond(first)
        self._transfer = None
        self._means.pool.waiting -= 1
        self._record("")
        self._state = State.JOINED
        self.deadline = self._means.loop.time() + self._means.config.tunnel_idle_timeout_s
        rest = bytes(self._in)
        self._in.clear()
        self.joined = Joined(self._stream, upstream, self._end, first=rest)

    def _answer(self, answer: Answer, *, keep_alive: bool = True, reason: str = "") -> None:
        """Send a response of our own, then go on or close."""
        exchange, request = self._exchange, self._request
        method = b"" if request is None else request.head.method
        if request is not None and request.expects_continue and self._state is State.BODY:
            keep_alive = False  # what comes next is the body or a request: nobody knows
        head, body = answers.spell(answer, method=method, closing=self.closing_fields(keep_alive=keep_alive))
        self.respond(head + body)
        if exchange is not None:
            exchange.status, exchange.response_bytes = answer.status, len(body)
        self._record(reason)
        if self._state is State.BODY and keep_alive:
            self._discard()
        elif self._state in {State.BODY, State.HEAD, State.SHOW}:
            self._linger()
        else:
            self._next()

    def _refuse(self, status: int, detail: str, limit: Limit | None = None) -> None:
        """Answer a request that can't be understood, and close: nobody knows where the next one begins."""
        exchange = self._exchange
        reason = limit or f"invalid_request_{status}"
        if exchange is not None:
            exchange.reason = reason
        self._means.counters["requests_invalid"] += 1
        answer = self._means.decider.invalid(exchange, status, detail)
        self._answer(answer, keep_alive=False, reason=reason)

    def _record(self, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.ended = time.monotonic()
            exchange.reason = exchange.reason or reason
            self._means.decider.record(exchange)

    def _discard(self) -> None:
        """Read the rest of the body and drop it, so that the client gets to read its answer."""
        if self.leaving and self._request is not None and self._request.expects_continue:
            self._linger()
            return
        self._discarding = True
        self._stream.resume()

    def _next(self) -> None:
        """Be ready for the next request, which may be there already."""
        asked_to_close = self._request is not None and not self._request.keep_alive
        self._discarding = False
        self._dropped = 0
        self._request = self._body = None
        if self.leaving and not asked_to_close:
            self._linger()
        elif self.leaving:
            self._close_when_sent()
        else:
            self._state = State.HEAD
            self.deadline = self._means.loop.time() + self._means.config.idle_timeout_s
            (self._stream.resume if self._stream.buffered <= HIGH_WATER else self._stream.pause)()  # see `_advance`
            if self._in or self._stream.eof:
                self._means.loop.call_soon(self._continue)

    def _continue(self) -> None:
        if self._state is not State.HEAD or self._stream.closed:
            return
        try:
            self._advance()
            if self._stream.eof:
                self.ended(self._stream)
        except Exception as fault:  # noqa: BLE001 - of the decider: this connection ends, the others do not
            self.crash(fault)

    def _leave_when_sent(self) -> None:
        """Nothing more comes that could be answered: end, once what was answered is sent."""
        if self._state is State.HEAD and framing.head_end(self._in) >= 0:
            return  # `_continue` is about to answer it
        if self._in:
            self._end("client_closed")
        else:
            self._close_when_sent()

    def _close_when_sent(self) -> None:
        self._state = State.LINGER
        self.deadline = self._means.loop.time() + self._means.config.body_timeout_s
        self._stream.close()
        if self._stream.closed:
            self._end("")

    def _linger(self) -> None:
        """Send what is left and the end, then drop what comes for a moment: closing at once would reset the answer."""
        if self._stream.eof:
            self._in.clear()
            self._close_when_sent()
            return
        self._state = State.LINGER
        self._in.clear()
        config = self._means.config
        patience_s = config.body_timeout_s if self._stream.buffered else config.linger_s
        self.deadline = self._means.loop.time() + patience_s
        self._stream.shutdown(deaf=True)
        self._stream.resume()

    # ends

    @property
    def idle(self) -> bool:
        """Whether nothing has been asked that is not answered."""
        return self._state is State.HEAD and not self._in

    def finish(self) -> None:
        """Close now if idle, else after the response in progress. Who has just come gets a moment for a request."""
        self.leaving = True
        if self.idle and self.received_bytes:
            self._close_when_sent()
        elif self.idle:  # its first request is on the way: closing now would reset it
            self.deadline = self._means.loop.time() + self._means.config.linger_s

    def turn_away(self, limit: Limit) -> None:
        """Answer a request 503 and close: there is no room for this connection. Its client is not waited for long."""
        self._limit = limit
        self.leaving = True
        self.deadline = self._means.loop.time() + self._means.config.head_timeout_s

    def crash(self, fault: Exception) -> None:
        """End for a fault of ours."""
        self._stream.crash(fault)

    def check(self, now: float) -> None:
        """Act on deadlines that have passed."""
        try:
            if not self._stream.closed:
                self._check(now)
        except Exception as fault:  # noqa: BLE001 - of the decider: this connection ends, the others do not
            self.crash(fault)

    def _check(self, now: float) -> None:
        if self._fast is not None and self._check_fast(self._fast, now):
            return
        transfer = self._transfer
        waiting = self._state is State.WAIT or self._held
        if self._state is State.JOINED and self.joined is not None and self.joined.touched:
            self.joined.touched = False
            self.deadline = now + self._means.config.tunnel_idle_timeout_s
        elif transfer is not None and waiting:
            if transfer.deadline and now >= transfer.deadline:
                self._upstream_expired(transfer)
        elif self.deadline and now >= self.deadline:
            self._expired()
        elif transfer is not None:
            transfer.invite(now)

    def _check_fast(self, fast: FastPath, now: float) -> bool:
        """Act on what goes the fast way; say whether that was all there is to do."""
        if fast.missing:
            self._stream.look()
            self._continue()
        else:
            fast.let_go()
        under_way = fast.under_way and not self._stream.closed
        if under_way and now >= fast.deadline:
            self._upstream_expired(fast.leave())
        return under_way or self._stream.closed

    def _upstream_expired(self, transfer: Transfer) -> None:
        """Nothing came from the upstream for too long; but it may be the client who does not take it."""
        if self._stream.buffered > LOW_WATER:
            self._means.counters[Limit.CLIENT] += 1
            self._stream.abort()
            self._end(Limit.CLIENT)
        else:
            transfer.expired()

    def _expired(self) -> None:
        counters = self._means.counters
        if self._state in {State.SHOW, State.BODY} or (self._state is State.HEAD and self._in):
            limit = Limit.HEAD if self._state is State.HEAD else Limit.BODY
            counters[limit] += 1
            self._give_up_body(408, "the request did not arrive in time", limit)
        elif self._stream.buffered:
            counters[Limit.CLIENT] += 1
            self._stream.abort()
            self._end(Limit.CLIENT)
        else:
            if self._state in QUIET:
                counters[QUIET[self._state]] += 1
            self._end("idle")

    def _give_up_body(self, status: int, detail: str, limit: Limit | None = None) -> None:
        """Answer for a request that ends in the middle; where a response has begun, only the connection can end."""
        answered = self._exchange is None or (self._transfer is not None and self._transfer.answered)
        self._abandon()
        if answered:
            self.leaving = True
            self._record(limit or f"invalid_request_{status}")
            self._stream.abort()
            self._end("client_timeout")
        else:
            self._state = State.SHOW
            self._refuse(status, detail, limit)

    def abort(self, reason: str) -> None:
        """End at once."""
        self._end(reason)

    def _abandon(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            self._means.pool.waiting -= 1
            transfer.abandon()

    def _end(self, reason: str) -> None:
        closed, self._closed = self._closed, None
        if closed is None:
            return
        if self._fast is not None:
            if self._fast.missing:
                self._do_at_the_end(self._advance)  # it ends as it would have ended on the ordinary way
            self._fast.abandon()
        self._abandon()
        if self._exchange is not None and self._exchange.head.method:
            self._do_at_the_end(lambda: self._record(reason or "client_closed"))
        self._exchange = None
        if self.joined is not None:
            self.joined.close()
        self._stream.close()
        closed(self, reason)

    def _do_at_the_end(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as fault:  # noqa: BLE001 - of the decider: what it did not note has ended nevertheless
            self._means.counters["internal_errors"] += 1
            self._stream.report(fault)
