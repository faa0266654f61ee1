"""Bodies of answers that are changed on their way: collected whole, or filtered as they stream. No sockets.

Most bodies never come here: they are passed byte for byte as they are framed. One that the decider wants to see is
decoded from its framing and held, up to a bound; at its end the decider says what the client gets. One that outgrows
the bound goes on through a filter, or as it is. Either way the client's framing is made here.
"""

from collections.abc import Callable
from typing import Final

from kecs.aws.head import Answer, Fields, ResponseHead
from kecs.relay import framing
from kecs.relay.decide import Decider, Exchange, Filter, Gather
from kecs.relay.framing import Body, Chunked, Length, Response

_FRAMING: Final = (b"content-length", b"transfer-encoding", b"trailer")
_CHUNKED: Final = ((b"Transfer-Encoding", b"chunked"),)
_LAST_CHUNK: Final = b"0\r\n\r\n"
_EVERYTHING: Final = 1 << 62

type Closing = Callable[[bool], Fields]
"""Return the connection's fields of a response, told whether it is to be kept."""


class Rewriting:
    """One answer whose body is not passed as it is."""

    __slots__ = (
        "_body", "_bytes_max", "_chunks", "_closing", "_decider", "_exchange", "_filter", "_head", "_held", "_http_1_0",
        "_reason", "_status", "_streams", "keep_client", "sent_bytes",
    )  # fmt: skip

    def __init__(
        self,
        decider: Decider,
        exchange: Exchange,
        response: Response,
        gather: Gather,
        *,
        http_1_0: bool,
        keep_client: bool,
        closing: Closing,
    ) -> None:
        self._decider = decider
        self._exchange = exchange
        self._body: Body = response.body
        self._status, self._reason = response.head.status, response.head.reason
        self._head, self._bytes_max = gather.head, gather.bytes_max
        self._http_1_0 = http_1_0
        self._closing = closing
        self._held = bytearray()
        self._filter: Filter | None = None
        self._streams = False
        """The bound was passed: what comes is sent at once."""
        self._chunks = False
        self.keep_client = keep_client
        self.sent_bytes = 0
        """Of the body, as the client's wire has it."""
        if isinstance(response.body, Chunked):
            response.body.show(_EVERYTHING)

    @property
    def outgrown(self) -> bool:
        """Whether the body was longer than was to be collected."""
        return self._streams

    @property
    def filtered(self) -> bool:
        """Whether it is changed as it streams."""
        return self._filter is not None

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """Take bytes of the connection; return how many were the body's, and what to send. Raises ProtocolError."""
        body = self._body
        count = body.take(data)
        piece = data if count == len(data) else data[:count]
        if isinstance(body, Chunked):
            piece = bytes(body.shown)
            body.shown.clear()
        if self._streams:
            return count, self._stream(piece)
        self._held += piece
        return count, self._overgrow() if len(self._held) > self._bytes_max else b""

    def end(self) -> bytes:
        """Return what is left to send, now that the body is whole."""
        if not self._streams:
            return self._whole()
        rest = self._frame(self._filter.end()) if self._filter is not None else b""
        self._filter = None
        if not self._chunks:
            return rest
        self.sent_bytes += len(_LAST_CHUNK)
        return rest + _LAST_CHUNK

    def _whole(self) -> bytes:
        answer = self._decider.gathered(self._exchange, self._head, bytes(self._held))
        self._exchange.status = answer.status
        length = (b"Content-Length", b"%d" % len(answer.body))
        out = framing.write_response(self._answered(answer), extra=(length, *self._closing(self.keep_client)))
        self.sent_bytes = len(answer.body)
        return out + answer.body

    def _answered(self, answer: Answer) -> ResponseHead:
        reason = self._reason if answer.status == self._status else b""
        return ResponseHead(status=answer.status, reason=reason, fields=answer.fields).with_fields(drop=_FRAMING)

    def _overgrow(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        self._streams = True
        head, self._filter = self._decider.overgrown(self._exchange, self._head, held)
        self._exchange.status = head.status
        extra: Fields = ()
        if self._filter is not None or not isinstance(self._body, Length):
            head = head.with_fields(drop=_FRAMING)
            self._chunks = not self._http_1_0
            if self._chunks:
                extra = _CHUNKED
            else:  # to a client of HTTP/1.0 the end of the body is the connection's
                self.keep_client = False
        out = framing.write_response(head, extra=(*extra, *self._closing(self.keep_client)))
        return out + self._stream(held)

    def _stream(self, piece: bytes) -> bytes:
        return self._frame(piece if self._filter is None else self._filter.feed(piece))

    def _frame(self, piece: bytes) -> bytes:
        out = b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunks and piece else piece
        self.sent_bytes += len(out)
        return out
