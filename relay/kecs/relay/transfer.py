"""One request on its way to a backend, and the response on its way back."""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from kecs.aws.head import Fields
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.acceptor import SHORT
from kecs.relay.bodies import Rewriting
from kecs.relay.config import RelayConfig
from kecs.relay.decide import Decider, Exchange, Failure, Forward, Gather
from kecs.relay.framing import Body, Length, Request, Response, UntilClose
from kecs.relay.occupancy import Limit
from kecs.relay.plans import Shelves
from kecs.relay.stream import HIGH_WATER, CrashError, Stream
from kecs.relay.templates import ResponseReader
from kecs.relay.upstream import Connecting, Pool

_INTERIM_MAX: Final = 16
_CONTINUE: Final = 100
_SWITCHING: Final = 101
_OK: Final = 200
_HEAD_MAX: Final = 262144
_HTTP: Final = b"HTTP/1."
_WHOLE_MAX: Final = 65536
"""Answers of a length up to this are told when they are there whole; longer ones as they come."""
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""May be asked twice (RFC 9110 section 9.2.1)."""


class Client(Protocol):
    """Whose request it is."""

    http_1_0: bool

    def respond(self, data: bytes) -> None:
        """Send bytes of the response."""

    def responded(self, *, keep_alive: bool) -> None:
        """The response is complete."""

    def failed(self, failure: Failure, detail: str, *, answered: bool) -> None:
        """There is no response, or (`answered`) only a part of it."""

    def switch(self, upstream: Stream, first: bytes) -> None:
        """The protocol was switched: join the two connections. `first` goes to the client."""

    def closing_fields(self, *, keep_alive: bool) -> Fields:
        """Return the connection's fields of a response."""

    def crash(self, fault: Exception) -> None:
        """End for a fault of ours."""

    def hold(self, *, full: bool) -> None:
        """Read no more of the request (`full`), or go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What transfers share."""

    loop: asyncio.AbstractEventLoop
    decider: Decider
    config: RelayConfig
    pool: Pool
    counters: dict[str, int]
    heads: ResponseReader = field(default_factory=ResponseReader)
    shelves: Shelves = field(default_factory=Shelves)


class Transfer:
    """See the module. Owner of the upstream's stream while it lasts."""

    __slots__ = (
        "_alone", "_body", "_client", "_connecting", "_corked", "_ended", "_finished", "_forward", "_head", "_interim",
        "_invited", "_invites_at", "_keep_client", "_means", "_method", "_request", "_response", "_reused",
        "_rewriting", "_searched", "_sent", "_stream", "_whole", "_wrote_chunks", "answered", "deadline", "exchange",
    )  # fmt: skip

    def __init__(self, means: Means, client: Client, exchange: Exchange, request: Request, forward: Forward) -> None:
        self._means = means
        self._client = client
        self._request = request
        self._forward = forward
        self._method = forward.head.method
        self.exchange = exchange
        exchange.upstream = forward.upstream
        exchange.context = forward.context
        self._head = bytearray()
        self._body: Body | None = None
        self._response: Response | None = None
        self._whole: bytearray | None = None
        """Head and body of a short answer, until it is whole: one that breaks off before is an error, and no part."""
        self._rewriting: Rewriting | None = None
        """The body of the answer is not passed as it is."""
        self._stream: Stream | None = None
        self._connecting: Connecting | None = None
        self._corked = False
        """The head waits for the body, which is about to be read: one packet, and the backend wakes once."""
        self._reused = False
        self._searched = 0
        self._keep_client = True
        self._wrote_chunks = False
        self._interim = 0
        self._invites_at = 0.0
        """When the client is told to go on with its body, if it has not begun; 0: it is told nothing."""
        self._invited = False
        """It was told so, by us."""
        self._ended = False
        """The request is complete."""
        self._finished = False
        body = request.body
        self._alone = isinstance(body, Length) and body.left > means.config.replay_bytes_max
        """The body is too long to be said again, so it gets no kept connection, which may be dying unseen."""
        self.answered = False
        """The client got the beginning of a response."""
        self._sent: bytearray | None = None
        """All that the upstream is to be told again when a kept connection turns out to be dead."""
        self.deadline = 0.0

    def start(self, first: bytes) -> None:
        """Send the head, and what is there of the body, to a kept connection or a new one."""
        request = self._request
        out = framing.write_request(self._forward.head, upgrade=request.upgrade, http_1_0=request.http_1_0)
        self._sent = bytearray(out + first)
        stream = None if self._alone else self._means.pool.idle(self._forward.upstream)
        if stream is None:
            self._dial()
        else:
            self._reused = True
            self._means.counters["upstream_reused"] += 1
            if isinstance(request.body, Length) and not self._ended and not request.expects_continue:
                self._corked = True
                self._means.loop.call_soon(self._uncork)
            self._attach(stream)

    def adopt(self, stream: Stream, sent: bytes) -> None:
        """Go on with a request that was sent, whole, on a kept connection."""
        self._sent = bytearray(sent)
        self._reused = True
        self._stream = stream
        stream.owner = self
        self._wait_for_answer()

    def body(self, data: bytes) -> None:
        """Send more of the request's body."""
        if self._sent is not None:
            self._sent += data
            sent_on = self._stream is not None and not self._corked
            if sent_on and len(self._sent) > 2 * self._means.config.replay_bytes_max:
                self._sent = None
        if self._corked:
            if self._ended:
                self._uncork()
        elif self._stream is not None:
            self._stream.write(data)
            if self._stream.buffered > HIGH_WATER:
                self._client.hold(full=True)
        elif self._sent is not None and len(self._sent) > HIGH_WATER:
            self._client.hold(full=True)
        if self._response is None:
            self._wait_for_answer()

    def end(self) -> None:
        """Note that the request is complete."""
        self._ended = True

    def invite(self, now: float) -> None:
        """Say 100 for a backend that has left a client waiting with its body. Any server may: RFC 9110 section 15.2.1.

        Not every client goes on by itself after a while, as section 10.1.1 wants it to: botocore waits for its whole
        read timeout when TLS session tickets, which it takes for the beginning of an answer, have come before.
        """
        due = self._invites_at and now >= self._invites_at
        if due and not (self.exchange.request_bytes or self._response):
            self._invites_at, self._invited = 0.0, True
            self._means.counters["continue_said"] += 1
            self._client.respond(GO_ON)

    def pause(self, *, full: bool) -> None:
        """Slow the upstream down while the client does not take what it gets."""
        if self._stream is not None:
            if full:
                self._stream.pause()
            else:
                self._stream.resume()

    def abandon(self) -> None:
        """The client is gone: so is the reason for the upstream's work."""
        self._finished = True
        self._release(keep=False)

    def expired(self) -> None:
        """The upstream has had its time."""
        config = self._means.config
        if self._response is None and self._ended:
            self._fail(Failure.FIRST_BYTE_TIMEOUT, f"no answer within {config.first_byte_timeout_s:g} s")
        else:
            self._fail(Failure.TIMEOUT, f"nothing moved for {config.response_timeout_s:g} s")

    def _dial(self) -> None:
        self._reused = self._corked = False
        self._means.counters["upstream_dialled"] += 1
        self.deadline = self._invites_at = 0.0  # the dialling has its own
        self._connecting = self._means.pool.dial(self._forward.upstream, self._connected)

    def _connected(self, result: Stream | OSError) -> None:
        self._connecting = None
        if isinstance(result, OSError):
            failure = Failure.CONNECT_TIMEOUT if isinstance(result, TimeoutError) else Failure.CONNECT
            if result.errno in SHORT:
                failure = Failure.OVERLOAD
                self._means.counters[Limit.DESCRIPTORS] += 1
            self._fail(failure, result.strerror or str(result))
            return
        self._attach(result)
        result.start()
        self._client.hold(full=False)

    def _attach(self, stream: Stream) -> None:
        self._stream = stream
        stream.owner = self
        self._wait_for_answer()
        if self._request.expects_continue and not self._invited:
            self._invites_at = self._means.loop.time() + self._means.config.continue_timeout_s
        if not self._corked:
            stream.write(bytes(self._sent or b""))
        if not self._reused:
            self._sent = None

    def _uncork(self) -> None:
        if self._corked:
            self._corked = False
            if self._stream is not None:
                self._stream.write(bytes(self._sent or b""))

    def _wait_for_answer(self) -> None:
        config = self._means.config
        patience_s = config.first_byte_timeout_s if self._ended else config.response_timeout_s
        self.deadline = self._means.loop.time() + patience_s

    def _touch(self) -> None:
        self.deadline = self._means.loop.time() + self._means.config.response_timeout_s

    def received(self, stream: Stream, data: bytes) -> bool:
        """Take bytes of the response; say whether it is not whole."""
        self._touch()
        self._sent = None
        if self._body is None:
            self._take_head(data, stream)
        else:
            self._take_body(data)
        return not self._finished

    def _take_head(self, data: bytes, stream: Stream) -> None:
        start = 0
        if self._head:
            self._head += data
            start = self._searched
            if framing.head_end(self._head, start) < 0:
                self._wait_for_head()
                return
            data = bytes(self._head)
            self._head.clear()
        while (end := framing.head_end(data, start)) >= 0:
            if end > _HEAD_MAX:
                self._fail(Failure.INVALID, "the response head is too long")
                return
            raw, data, start = data[:end], data[end:], 0
            try:
                response = self._means.heads.read(raw, method=self._method)
            except ProtocolError as error:
                self._fail(Failure.INVALID, error.message)
                return
            if response.head.status == _SWITCHING:
                self._switch(raw, data, stream)
                return
            if response.head.status >= _OK:
                self._begin(response, data)
                return
            if not self._pass_interim(raw, response.head.status):
                return
        self._head += data
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._searched = len(self._head)
        begun = self._head[:32].lstrip(b"\r\n")
        if not begun.startswith(_HTTP[: len(begun)]):  # what it says may never end as a head does
            self._fail(Failure.INVALID, "it speaks another protocol than HTTP")
        elif self._searched > _HEAD_MAX:
            self._fail(Failure.INVALID, "the response head has no end")

    def _pass_interim(self, raw: bytes, status: int) -> bool:
        """Pass a 100 or 103 on; say whether more may follow."""
        self._interim += 1
        if self._interim > _INTERIM_MAX:
            self._fail(Failure.INVALID, "too many interim responses")
            return False
        if status == _CONTINUE:
            self._invites_at = 0.0
        if not (self._client.http_1_0 or (status == _CONTINUE and self._invited)):
            self._client.respond(raw)
        self._wait_for_answer()
        return True

    def _switch(self, raw: bytes, rest: bytes, stream: Stream) -> None:
        if not self._request.upgrade:
            self._fail(Failure.INVALID, "the upstream switched protocols unasked")
            return
        self.exchange.status = _SWITCHING
        self._finished = True
        self._stream = None
        self._client.switch(stream, raw + rest)

    def _begin(self, response: Response, rest: bytes) -> None:
        chunked = isinstance(response.body, framing.Chunked)
        if self._client.http_1_0 and chunked:
            self._fail(Failure.INVALID, "a chunked response to an HTTP/1.0 request")
            return
        self._response = response
        self._body = response.body
        head = self._means.decider.response(self.exchange, response.head)
        self._keep_client = self._ended or not self._request.expects_continue
        if isinstance(head, Gather):
            if not response.body.done:
                self._gather(response, head, rest)
                return
            head = head.head
        self.exchange.status = head.status
        if response.body.done and self._is_too_long(rest):
            return
        extra = self._framing(response.body)
        out = framing.write_response(head, extra=(*extra, *self._client.closing_fields(keep_alive=self._keep_client)))
        if self._is_held(response.body):
            self._whole = bytearray(out)
            if rest:
                self._take_body(rest)
            return
        self.answered = True
        if rest and not response.body.done:
            self._take_body(rest, before=out)
            return
        self._client.respond(out)
        if response.body.done:
            self._complete(rest)

    def _framing(self, body: Body) -> Fields:
        """Say how long a body is that ends with the backend's connection: the client's outlives that, if it can."""
        if not isinstance(body, UntilClose):
            return ()
        self._wrote_chunks = not self._client.http_1_0
        self._keep_client = self._keep_client and self._wrote_chunks
        return ((b"Transfer-Encoding", b"chunked"),) if self._wrote_chunks else ()

    def _is_held(self, body: Body) -> bool:
        """Tell whether an answer is told when it is whole: not while its request goes on, which may wait for it."""
        return self._ended and isinstance(body, Length) and 0 < body.left <= _WHOLE_MAX

    def _gather(self, response: Response, gather: Gather, rest: bytes) -> None:
        self._means.counters["bodies_gathered"] += 1
        client = self._client
        self._rewriting = Rewriting(
            self._means.decider,
            self.exchange,
            response,
            gather,
            http_1_0=client.http_1_0,
            keep_client=self._keep_client,
            closing=lambda keep: client.closing_fields(keep_alive=keep),
        )
        if rest:
            self._rewrite(self._rewriting, rest)

    def _rewrite(self, rewriting: Rewriting, data: bytes) -> None:
        outgrown = rewriting.outgrown
        try:
            count, out = rewriting.feed(data)
        except ProtocolError as error:
            self._fail(Failure.INVALID, error.message)
            return
        if rewriting.outgrown and not outgrown:
            self._means.counters["bodies_filtered" if rewriting.filtered else "bodies_too_long"] += 1
        self._rewrote(rewriting, out)
        if self._body is not None and self._body.done:
            if not rewriting.outgrown and self._is_too_long(data[count:]):
                return
            self._end_rewriting(rewriting, data[count:])

    def _end_rewriting(self, rewriting: Rewriting, rest: bytes) -> None:
        try:
            out = rewriting.end()
        except ProtocolError as error:
            self._fail(Failure.INVALID, error.message)
            return
        self._rewrote(rewriting, out)
        self._complete(rest)

    def _rewrote(self, rewriting: Rewriting, out: bytes) -> None:
        self._keep_client = rewriting.keep_client
        if out:
            self.answered = True
            self.exchange.response_bytes = rewriting.sent_bytes
            self._client.respond(out)

    def _take_body(self, data: bytes, *, before: bytes = b"") -> None:
        body = self._body
        if body is None:
            return
        if self._rewriting is not None:
            self._rewrite(self._rewriting, data)
            return
        try:
            count = body.take(data)
        except ProtocolError as error:
            self._client.respond(before)
            self._fail(Failure.INVALID, error.message)
            return
        taken = data if count == len(data) else data[:count]
        self.exchange.response_bytes += count
        if self._whole is not None:
            self._whole += taken
            if body.done and not self._is_too_long(data[count:]):
                self.answered = True
                self._client.respond(bytes(self._whole))
                self._complete(data[count:])
            return
        if self._wrote_chunks:
            taken = b"%x\r\n%b\r\n" % (count, taken)
        self._client.respond(before + taken if before else taken)
        if body.done:
            self._complete(data[count:])

    def _is_too_long(self, rest: bytes) -> bool:
        """Fail where more came than the answer's length says: nobody knows which of both is right.

        What comes later than the answer can't be told any more; it ends the upstream's connection.
        """
        if not isinstance(self._body, Length) or not rest.strip(b"\r\n"):  # RFC 9112 section 2.2: an empty line is none
            return False
        self._fail(Failure.INVALID, "it sent more than the Content-Length of its answer")
        return True

    def _complete(self, rest: bytes) -> None:
        response = self._response
        keep = response is not None and response.keep_alive and self._ended and not rest and not self._alone
        self._finished = True
        self._release(keep=keep)
        try:
            self._client.responded(keep_alive=self._keep_client)
        except Exception as fault:  # noqa: BLE001 - of the decider: the client's connection ends, no other
            self._client.crash(fault)

    def ended(self, stream: Stream) -> None:
        """The upstream sends no more."""
        if isinstance(self._body, UntilClose):
            if self._rewriting is not None:
                self._end_rewriting(self._rewriting, b"")
            else:
                if self._wrote_chunks:
                    self._client.respond(b"0\r\n\r\n")
                self._complete(b"")
        else:
            self._broke(stream, "it closed the connection before its answer was complete")
        if not stream.closed and self._stream is stream:
            stream.close()

    def lost(self, stream: Stream, error: OSError) -> None:
        """The upstream's connection broke."""
        if isinstance(error, CrashError):
            self._means.counters["internal_errors"] += 1
            self._reused = False  # nothing of this is to happen again
        self._broke(stream, error.strerror or str(error))

    def _broke(self, stream: Stream, detail: str) -> None:
        if self._finished:
            return
        if self._reused and self._sent is not None and not self._head and self._may_repeat(stream, self._sent):
            # closed while it was idle, before it saw the request: say it again, once, on a fresh connection
            self._means.counters["upstream_stale"] += 1
            self._release(keep=False)
            self._dial()
            return
        self._fail(Failure.RESET, detail)

    def _may_repeat(self, stream: Stream, sent: bytearray) -> bool:
        """Whether the request changes nothing, or nobody can have seen it: the upstream may have done it, and died."""
        return self._method in _SAFE or stream.unacknowledged() >= len(sent)

    def drained(self, stream: Stream) -> None:  # noqa: ARG002 - the protocol's
        """The upstream took what was buffered."""
        self._client.hold(full=False)

    def _fail(self, failure: Failure, detail: str) -> None:
        if self._finished:
            return
        self._finished = True
        self._release(keep=False)
        self._means.counters[failure.value] += 1
        try:
            self._client.failed(failure, detail, answered=self.answered)
        except Exception as fault:  # noqa: BLE001 - of the decider: the client's connection ends, no other
            self._client.crash(fault)

    def _release(self, *, keep: bool) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if keep:
            self._means.pool.put(self._forward.upstream, stream)
        elif stream.buffered:
            stream.abort()  # what is left of the request interests nobody any more
        else:
            stream.close()
