"""HTTP/1.1 as the engine speaks it: mitmproxy's two connections, with what they leave out.

Stock mitmproxy 12.2 raises on trailers, takes an interim response for the final one, forwards an HTTP/2 body that has
no length as no body at all, ends a client that has half-closed, lets heads and pipelined requests grow, and takes
heads and chunks that others read differently. Nothing of it is edited: these classes override the methods concerned.
"""

from collections.abc import Generator
from typing import Any, Final

import h2.errors
import h11
from hyperframe.frame import GoAwayFrame, SettingsFrame
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import (
    Http1Client,
    Http1Connection,
    Http1Server,
    make_body_reader,
)

from kecs.calls.routes import ENGINE_FIELD
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.sidecar.engine_refusals import refused

type Steps = Generator[Any, Any, None]

HEAD_BYTES_MAX: Final = 1 << 17
"""The relay answers 431 for less; this only keeps memory bounded."""
_FIELDS_MAX: Final = 2000
_PREFACE: Final = b"PRI * HTTP/2.0\r\n"
_LOOKED_AT_MOST: Final = 4096
_CONTINUE: Final = 100
_SWITCHING: Final = 101
_OK: Final = 200
_NO_BODY: Final = frozenset({204, 304})


def is_interim(status: int) -> bool:
    """Tell whether another response follows."""
    return status < _OK and status != _SWITCHING


def _is_chunked(message: Any) -> bool:
    return "chunked" in message.headers.get("transfer-encoding", "").lower()


def _last_chunk(trailers: Any) -> bytes:
    lines = b"".join(b"%s: %s\r\n" % (name, value) for name, value in trailers.fields) if trailers else b""
    return b"0\r\n" + lines + b"\r\n"


def _refusal_of_h2c() -> bytes:
    """Return what a client that begins HTTP/2 in clear text understands: go and speak HTTP/1.1."""
    away = GoAwayFrame(0, error_code=h2.errors.ErrorCodes.HTTP_1_1_REQUIRED)
    return bytes(SettingsFrame(0).serialize() + away.serialize())


class Abort(commands.CloseConnection):  # type: ignore[misc]  # mitmproxy is untyped to us
    """Reset the relay's connection: an end would only say that no more is asked, and the backend would work on."""


class _Trailers(Http1Connection):  # type: ignore[misc]  # mitmproxy is untyped to us
    """Reads trailers instead of raising."""

    def read_body(self, event: Any) -> Steps:
        """Take what there is of a body."""
        while True:
            try:
                if isinstance(event, events.DataReceived):
                    found = self.body_reader(self.buf)
                else:
                    found = self.body_reader.read_eof()
            except h11.ProtocolError as error:
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(
                    self.ReceiveProtocolError(
                        self.stream_id, f"HTTP/1 protocol error: {error}", code=self.ReceiveProtocolError.code
                    )
                )
                return
            if found is None:
                return
            if isinstance(found, h11.EndOfMessage):
                yield from self._end(found)
                return
            if found.data:
                yield ReceiveHttp(self.ReceiveData(self.stream_id, bytes(found.data)))

    def _end(self, found: h11.EndOfMessage) -> Steps:
        is_request = isinstance(self, Http1Server)
        if found.headers:
            kind = RequestTrailers if is_request else ResponseTrailers
            yield ReceiveHttp(kind(self.stream_id, http.Headers(found.headers.raw_items())))
        yield ReceiveHttp(self.ReceiveEndOfMessage(self.stream_id))
        yield from self.mark_done(request=is_request, response=not is_request)


class ToRelay(_Trailers, Http1Client):  # type: ignore[misc]  # mitmproxy is untyped to us
    """A connection to the relay, for one request."""

    def __init__(self, context: Any, mark: bytes) -> None:
        super().__init__(context)
        self._mark = mark
        self._owed = 0
        """How many bytes of the body are to come."""
        self._trailers: Any = None

    def send(self, event: Any) -> Steps:
        """Send a part of the request."""
        match event:
            case RequestHeaders():
                self.stream_id = event.stream_id
                self.request = self._spelled(event)
                self._owed = 0 if _is_chunked(self.request) else int(self.request.headers.get("content-length", "0"))
                if not (event.end_stream and self._owed):
                    yield commands.SendData(self.conn, http1.assemble_request_head(self.request))
            case RequestData():
                yield from self._send_data(event)
            case RequestEndOfMessage() if self._owed:
                # HTTP/2 ends bodies without counting them; the relay would wait for what is missing (RFC 9113 8.1.1)
                self._owed = 0
                yield Abort(self.conn)
                short = "the body is not as long as Content-Length says"
                yield ReceiveHttp(ResponseProtocolError(self.stream_id, short, ErrorCode.GENERIC_CLIENT_ERROR))
            case RequestProtocolError():
                yield Abort(self.conn)
            case RequestTrailers():
                self._trailers = event.trailers  # of no use, and left out as RFC 9110 6.5.1 has it, but with chunks
            case RequestEndOfMessage():
                if _is_chunked(self.request):
                    yield commands.SendData(self.conn, _last_chunk(self._trailers))
                yield from self.mark_done(request=True)
            case _:
                yield from super().send(event)

    def _send_data(self, event: Any) -> Steps:
        if not _is_chunked(self.request):
            self._owed -= len(event.data)
            yield from super().send(event)
        elif event.data:
            yield commands.SendData(self.conn, b"%x\r\n%b\r\n" % (len(event.data), event.data))

    def _spelled(self, event: Any) -> Any:
        """Return the request as the relay gets it: HTTP/1.1, framed, marked. The flow itself shows none of this."""
        request = event.request.copy()
        fields = request.headers
        if request.is_http2:
            request.http_version = "HTTP/1.1"
            fields.pop("host", None)
            fields.insert(0, "Host", request.authority or event.request.host_header or "")
            cookies = fields.get_all("cookie")
            if len(cookies) > 1:
                fields["Cookie"] = "; ".join(cookies)  # RFC 9113 8.2.3
            if "te" in fields:
                fields["Connection"] = "TE"
        if not event.end_stream and "content-length" not in fields and "transfer-encoding" not in fields:
            # HTTP/2 bodies need no length, HTTP/1.1 bodies do: without this they would be taken for the next request
            fields["Transfer-Encoding"] = "chunked"
        request.authority = ""
        fields[ENGINE_FIELD] = self._mark
        return request

    def read_headers(self, event: Any) -> Steps:
        """Take the response's head, and interim ones before it."""
        if not isinstance(event, events.DataReceived) or not self.request:
            yield from super().read_headers(event)
            return
        while lines := self.buf.maybe_extract_lines():
            try:
                response = http1.read_response_head([bytes(one) for one in lines])
                size = http1.expected_http_body_size(self.request, response)
            except ValueError as error:
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(
                    ResponseProtocolError(
                        self.stream_id, f"Cannot parse HTTP response: {error}", ErrorCode.GENERIC_SERVER_ERROR
                    )
                )
                return
            if is_interim(response.status_code):
                yield ReceiveHttp(ResponseHeaders(self.stream_id, response, end_stream=False))
                continue
            self.response = response
            yield ReceiveHttp(ResponseHeaders(self.stream_id, response, size == 0))
            self.body_reader = make_body_reader(size)
            self.state = self.read_body
            yield from self.state(event)
            return

    def mark_done(self, *, request: bool = False, response: bool = False) -> Steps:
        """End the connection with its exchange: on loopback a new one is cheap, and never stale."""
        self.request_done |= request
        self.response_done |= response
        if not self.response_done:
            return
        if self.response.status_code != _SWITCHING:
            self.state = self.done
            if self.request_done:
                yield commands.CloseConnection(self.conn)
        elif self.request_done:
            yield from self.make_pipe()


class FromClient(_Trailers, Http1Server):  # type: ignore[misc]  # mitmproxy is untyped to us
    """A client's connection."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._body: framing.Body = framing.EMPTY
        """Holds chunks to what the relay holds them to: h11 takes more."""
        self._unchecked: bytes | None = None
        """What came in one piece with the head."""
        self._half_closed = False
        self._told_to_go_on = False
        self._trailers: Any = None
        self.leaving = False
        """The next response is the last."""

    @property
    def held(self) -> int:
        """Return how many bytes wait for the request before them."""
        return len(self.buf)

    def read_headers(self, event: Any) -> Steps:
        """Take a request's head, if the relay would."""
        if not isinstance(event, events.DataReceived):
            yield from super().read_headers(event)
            return
        while bytes(self.buf).startswith(b"\r\n"):
            self.buf.maybe_extract_at_most(2)  # RFC 9112 2.2: empty lines before a request
        seen = bytes(self.buf)
        if len(_PREFACE) <= len(seen) < _LOOKED_AT_MOST and seen.startswith(_PREFACE):
            yield from self._refuse(_refusal_of_h2c())
            return
        end = framing.head_end(seen)
        if end < 0:
            if len(seen) > HEAD_BYTES_MAX:
                yield from self._refuse(self._spelled(431, "the request's head has no end"))
            return
        try:
            self._body = framing.request(seen[:end], fields_max=_FIELDS_MAX).body
        except ProtocolError as error:
            yield from self._refuse(self._spelled(error.status, error.message))
            return
        self._unchecked = seen[end:]
        for command in super().read_headers(event):
            if isinstance(command, commands.SendData):  # its page about a head that we would take
                yield commands.SendData(self.conn, self._spelled(400, "the request's head can't be understood"))
            else:
                yield command

    def read_body(self, event: Any) -> Steps:
        """Take what there is of a body, if the relay would."""
        if isinstance(event, events.DataReceived):
            data = event.data if self._unchecked is None else self._unchecked
            self._unchecked = None
            try:
                self._body.take(data)
            except ProtocolError as error:
                if self.response is None:
                    yield commands.SendData(self.conn, self._spelled(error.status, error.message))
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(self.ReceiveProtocolError(self.stream_id, error.message))
                self.state = self.done
                return
        yield from super().read_body(event)

    def _spelled(self, status: int, message: str) -> bytes:
        return refused(status, message, context=self.context, request=self.request)

    def _refuse(self, data: bytes) -> Steps:
        yield commands.SendData(self.conn, data)
        yield commands.CloseConnection(self.conn)
        self.state = self.done

    def send(self, event: Any) -> Steps:
        """Send a part of the response."""
        match event:
            case ResponseHeaders() if is_interim(event.response.status_code):
                if self.request.is_http11:  # RFC 9110 15.2
                    self._told_to_go_on |= event.response.status_code == _CONTINUE
                    yield commands.SendData(self.conn, http1.assemble_response_head(event.response))
            case ResponseProtocolError():
                status = event.code.http_status_code()
                if self.conn.state & ConnectionState.CAN_WRITE:
                    if status is not None and self.response is None:
                        yield commands.SendData(self.conn, self._spelled(status, event.message))
                    yield commands.CloseConnection(self.conn)
            case ResponseHeaders() if self.leaving:
                event.response = event.response.copy()
                event.response.headers["Connection"] = "close"
                yield from super().send(event)
            case ResponseTrailers():
                self._trailers = event.trailers
            case ResponseEndOfMessage():
                if self._ends_in_chunks():
                    yield commands.SendData(self.conn, _last_chunk(self._trailers))
                self._trailers = None
                yield from self.mark_done(response=True)
            case _:
                yield from super().send(event)

    def _ends_in_chunks(self) -> bool:
        has_body = self.request.method.upper() != "HEAD" and self.response.status_code not in _NO_BODY
        return has_body and _is_chunked(self.response)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Steps:
        """Go on with the next request, unless the client can't send one."""
        refused = response and not (self.request_done or self._told_to_go_on) and "expect" in self.request.headers
        yield from super().mark_done(request=request, response=response)
        if refused or (self._half_closed and self.state == self.read_headers):
            # what a client that was not told to go on sends next is a body or a request: nobody can tell
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def wait(self, event: Any) -> Steps:
        """Wait for the response. A client that has ended its side is still served: AWS does so too."""
        closed = isinstance(event, events.ConnectionClosed)
        if closed and event.connection.state is not ConnectionState.CLOSED:
            self._half_closed = True
        else:
            yield from super().wait(event)
