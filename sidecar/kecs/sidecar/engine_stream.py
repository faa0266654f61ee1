"""What happens between a client and the relay: one exchange (`Exchange`) and all of a connection (`Http`).

mitmproxy's own, with these differences: the only server is the relay, dialled once per exchange when there is
something to send; `Expect` is the backend's to answer; interim responses are passed; a response that is complete ends
for the client, whatever is left of the request; nothing is read that nobody takes.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy import connection, http
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    HttpRequestHeadersHook,
    HttpResponseHeadersHook,
    HttpStream,
    RegisterHttpConnection,
    RequestData,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    SendHttp,
)

from kecs.sidecar.engine_http1 import FromClient, ToRelay, is_interim
from kecs.sidecar.engine_http2 import Http2FromClient

type Steps = Generator[Any, Any, None]

_HTTPS: Final = 443
_HTTP: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """The only server."""

    address: tuple[str, int]
    mark: bytes
    """What requests carry, so that the relay takes them for ours."""


@dataclass
class Room(events.Event):  # type: ignore[misc]  # mitmproxy is untyped to us
    """Some connection has taken what it was sent. `has_room` tells which to ask for more."""

    has_room: Callable[[Any], bool]


@dataclass
class Leave(events.Event):  # type: ignore[misc]  # as above
    """The engine is to end: take no new requests, finish those that are there."""


class Exchange(HttpStream):  # type: ignore[misc]  # as above
    """One request and its response."""

    relay: Relay
    _connected = False

    def held(self, kind: Any) -> int:
        """Return how many bytes of a direction wait for a hook, or for the relay to be dialled."""
        return sum(len(one.data) for one in self._paused_event_queue if isinstance(one, kind))

    def state_wait_for_request_headers(self, event: Any) -> Steps:
        """Begin with the request's head."""
        self.flow = http.HTTPFlow(self.context.client, self.context.server)
        self.flow.request = request = event.request
        self.flow.live = True
        if (yield from self.check_invalid(True)):  # noqa: FBT003 - mitmproxy's signature
            return
        self._name()
        request.stream = True
        yield HttpRequestHeadersHook(self.flow)
        if (yield from self.check_killed(True)):  # noqa: FBT003 - as above
            return
        self.server_state = self.state_wait_for_response_headers
        streams = request.stream and not event.end_stream
        if streams and self.flow.response is not None:
            yield from self._answer()
        elif streams:
            yield from self.start_request_stream()
        else:
            if not event.end_stream:
                yield from self._go_on()
            self.client_state = self.state_consume_request_body

    def _name(self) -> None:
        """Show what the client asked for, which is not where the request is sent."""
        request, client = self.flow.request, self.context.client
        tls = bool(client.tls)
        try:
            host, port = url.parse_authority(request.authority or request.host_header or "", check=True)
        except ValueError:
            host, port = "", None
        request.data.host = host or client.sni or client.sockname[0]
        request.data.port = port or (_HTTPS if tls else _HTTP)
        request.data.scheme = b"https" if tls else b"http"
        if request.authority and not request.is_http2:
            request.headers["Host"] = request.authority  # RFC 9112 3.2.2: what an absolute target names counts
            request.authority = ""

    def _go_on(self) -> Steps:
        """Let the client send a body that is kept whole: nobody else sees it before."""
        if self.flow.request.headers.get("expect", "").lower() == "100-continue":
            self.flow.request.headers.pop("expect")
            go_on = http.Response.make(100)
            go_on.headers.clear()
            yield SendHttp(ResponseHeaders(self.stream_id, go_on), self.context.client)

    def _answer(self) -> Steps:
        """Send what an addon has answered, without the relay."""
        self.client_state = self.state_drop
        self.flow.response.timestamp_start = time.time()
        yield HttpResponseHeadersHook(self.flow)
        if not (yield from self.check_killed(True)):  # noqa: FBT003 - as above
            yield from self.send_response()

    def state_drop(self, event: Any) -> Steps:
        """Take what nobody wants."""
        del event
        yield from ()

    def make_server_connection(self) -> Generator[Any, Any, bool]:
        """Dial the relay. Whatever an addon has made of the request's address, there is no other server."""
        server, error = yield GetHttpConnection(self.relay.address, False, None)  # noqa: FBT003 - mitmproxy's signature
        if error:
            failure = ResponseProtocolError(self.stream_id, error, ErrorCode.CONNECT_FAILED)
            yield from self.handle_protocol_error(failure)
            return False
        self.context.server = self.flow.server_conn = server
        if any(isinstance(one, RequestProtocolError) for one in self._paused_event_queue):
            yield commands.CloseConnection(server)  # the client has gone while this was dialled
            return False
        self._connected = True
        return True

    def state_wait_for_response_headers(self, event: Any) -> Steps:
        """Pass interim responses on; begin with the final one."""
        if is_interim(event.response.status_code):
            yield SendHttp(event, self.context.client)
        else:
            event.response.stream = True
            yield from super().state_wait_for_response_headers(event)

    def send_response(self, already_streamed: bool = False) -> Steps:  # noqa: FBT001, FBT002 - mitmproxy's signature
        """Complete the response; end the exchange even where the request is not complete."""
        yield from super().send_response(already_streamed)
        if self.server_state != self.state_done or self.client_state in {self.state_done, self.state_errored}:
            return
        self.client_state = self.state_drop
        self.flow.live = False
        if self._connected:
            ended = RequestProtocolError(self.stream_id, "answered before its end", ErrorCode.CANCEL)
            yield SendHttp(ended, self.context.server)
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


class ServerConnection(layer.Layer):  # type: ignore[misc]  # as above
    """Dials the relay, then speaks HTTP/1.1 with it."""

    def __init__(self, context: Any, mark: bytes) -> None:
        super().__init__(context)
        self._mark = mark

    def _handle_event(self, event: Any) -> Steps:
        error = yield commands.OpenConnection(self.context.server)
        if not error:
            child = ToRelay(self.context, self._mark)
            self._handle_event = child.handle_event  # type: ignore[method-assign]  # as mitmproxy does
            yield from child.handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)


class Http(HttpLayer):  # type: ignore[misc]  # as above
    """All exchanges of a client's connection."""

    def __init__(self, context: Any, relay: Relay) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._relay = relay
        self._leaving = False

    @property
    def front(self) -> Any:
        """Return who speaks with the client."""
        return self.connections.get(self.context.client)

    def _handle_event(self, event: Any) -> Steps:
        client = self.context.client
        if isinstance(event, events.Start):
            speaks_2 = client.alpn == b"h2"
            self.connections[client] = (Http2FromClient if speaks_2 else FromClient)(self.context.fork())
            yield from self.event_to_child(self.front, event)
        elif isinstance(event, Room):
            yield from self._credit(event.has_room)
        elif isinstance(event, Leave):
            yield from self._leave()
        elif isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            pass  # of a connection whose exchange is over
        else:
            yield from super()._handle_event(event)
            if self._leaving and not self.streams and isinstance(self.front, FromClient):
                yield commands.CloseConnection(client)

    def _leave(self) -> Steps:
        self._leaving = True
        if isinstance(self.front, Http2FromClient):
            yield from self.commands_of(self.front.leave())
        elif self.streams:
            self.front.leaving = True
        else:
            yield commands.CloseConnection(self.context.client)

    def commands_of(self, steps: Steps) -> Steps:
        """Carry out what a child wants, as if an event had caused it."""
        yield from self.event_to_child(_Steps(steps), events.Start())

    # what waits

    @property
    def owes(self) -> bool:
        """Tell whether a client of HTTP/2 waits for its window."""
        return isinstance(self.front, Http2FromClient) and bool(self.front.uncredited())

    def held(self) -> int:
        """Return how many bytes of the client wait in here."""
        front = self.front
        waiting = front.held if isinstance(front, FromClient) else 0
        return int(waiting + sum(stream.held(RequestData) for stream in self.streams.values()))

    def backlog(self, server: Any) -> int:
        """Return how many bytes of a server wait for the client."""
        found = 0
        for number, stream in self.streams.items():
            if stream.context.server is server:
                found += stream.held(ResponseData)
                if isinstance(self.front, Http2FromClient):
                    found += self.front.buffered(number)
        return int(found)

    def _credit(self, has_room: Callable[[Any], bool]) -> Steps:
        front = self.front
        if not isinstance(front, Http2FromClient):
            return
        for number, size in front.uncredited():
            stream = self.streams.get(number)
            passed = size - (stream.held(RequestData) if stream is not None else 0)
            if passed > 0 and (stream is None or has_room(stream.context.server)):
                yield from self.commands_of(front.credit(number, passed))

    # connections

    def make_stream(self, stream_id: int) -> Steps:
        """Begin an exchange."""
        self._sweep()
        exchange = Exchange(self.context.fork(), stream_id)
        exchange.relay = self._relay
        self.streams[stream_id] = exchange
        yield from self.event_to_child(exchange, events.Start())

    def get_connection(self, event: Any, *, reuse: bool = True) -> Steps:  # noqa: ARG002 - mitmproxy's signature
        """Dial the relay."""
        context = self.context.fork()
        context.server = connection.Server(address=self._relay.address)
        child = ServerConnection(context, self._relay.mark)
        self.connections[context.server] = child
        self.waiting_for_establishment[context.server].append(event)
        yield from self.event_to_child(child, events.Start())

    def register_connection(self, command: Any) -> Steps:
        """Give a connection to who waits for it."""
        (asked,) = self.waiting_for_establishment.pop(command.connection)
        reply = (None, command.err) if command.err else (command.connection, None)
        if command.err:
            self.connections.pop(command.connection, None)
        yield from self.event_to_child(self.command_sources.pop(asked), GetHttpConnectionCompleted(asked, reply))

    def _sweep(self) -> None:
        """Forget connections that have ended and that no exchange uses."""
        used = {stream.context.server for stream in self.streams.values()}
        for server in list(self.connections):
            if server.timestamp_end is not None and server not in used and server is not self.context.client:
                del self.connections[server]


class _Steps:
    """A child that has its commands already."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def handle_event(self, _: Any) -> Steps:
        """Do them."""
        yield from self._steps
