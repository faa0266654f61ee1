"""HTTP/2 as the engine speaks it to clients: mitmproxy's connection, with windows that mean something and an end.

Stock mitmproxy 12.2 opens windows of 2 GiB, buffers without a bound what a client does not take, remembers every
stream for as long as a connection lasts, and ends all streams at the client's GOAWAY.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame
from mitmproxy import http
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http import ResponseEndOfMessage, ResponseProtocolError, ResponseTrailers
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http2 import Http2Server, StreamState, normalize_h1_headers
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from kecs.sidecar.engine_refusals import refused_2

type Steps = Generator[Any, Any, None]
type Verdict = Generator[Any, Any, bool]

STREAMS_MAX: Final = 100
"""At the same time on one connection, as nginx and most servers have it."""
STREAM_WINDOW: Final = 1 << 18
_FRAME_MAX: Final = 1 << 16
_HEADERS_MAX: Final = 1 << 17
_RESETS_AT_ONCE: Final = 400
_RESETS_PER_S: Final = 20.0
"""What a client may cancel. More is the rapid reset attack, CVE-2023-44487."""
_ASIDES_AT_ONCE: Final = 2000
_ASIDES_PER_S: Final = 200.0
"""Frames that carry nothing and want an answer or work: pings, settings, priorities, empty data. CVE-2019-9511 to 9518.

gRPC's clients measure with a ping for each burst of data, which is tens a second.
"""
_FRAME_HEAD: Final = 9


_ASIDES: Final = (h2.events.PingReceived, h2.events.RemoteSettingsChanged, h2.events.PriorityUpdated)


class ClientLeaves(h2.events.Event):
    """The client begins no more streams. To h2, any GOAWAY is the end of the connection, and nothing can be sent."""


class Frames(BufferedH2Connection):  # type: ignore[misc]  # mitmproxy is untyped to us
    """Frames with bounded windows. A client's orderly GOAWAY is noted, and what it has begun goes on."""

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_FRAME_SIZE: _FRAME_MAX,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS_MAX,
                h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 0,
            },
        )
        self.max_inbound_frame_size = _FRAME_MAX
        self.decoder.max_header_list_size = _HEADERS_MAX

    def initiate_connection(self) -> None:
        """Say our settings, and give all streams together what each of them may have."""
        h2.connection.H2Connection.initiate_connection(self)
        self.increment_flow_control_window(STREAMS_MAX * STREAM_WINDOW - self.inbound_flow_control_window)

    def buffered(self, stream: int) -> int:
        """Return how many bytes wait for the client's window."""
        return sum(len(one.data) for one in self.stream_buffers.get(stream, ()))

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Any], list[Any]]:
        if frame.error_code == h2.errors.ErrorCodes.NO_ERROR:
            return [], [ClientLeaves()]
        return super()._receive_goaway_frame(frame)  # type: ignore[no-any-return]  # as above

    def receive_data(self, data: bytes) -> list[Any]:
        """Take bytes. The original waits for all of a frame before it looks at its length."""
        found: list[Any] = super().receive_data(data)
        held = self.incoming_buffer._data
        if len(held) >= _FRAME_HEAD and int.from_bytes(held[:3]) > self.max_inbound_frame_size:
            raise h2.exceptions.FrameTooLargeError(f"a frame may have {self.max_inbound_frame_size} bytes")
        return found


class Allowance:
    """How much may happen at once, and how fast that is given back."""

    def __init__(self, most: float, per_s: float, clock: Callable[[], float]) -> None:
        self._most, self._per_s, self._clock = most, per_s, clock
        self._left, self._at = most, clock()

    def take(self) -> bool:
        """Use one; say whether there was one."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        self._left -= 1
        return self._left >= 0


class Http2FromClient(Http2Server):  # type: ignore[misc]  # mitmproxy is untyped to us
    """A client's connection. Whoever carries its bodies says with `credit` what was passed on."""

    def __init__(self, context: Any, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(context)
        self.h2_conn = Frames(self.h2_conf)
        self._uncredited: dict[int, int] = {}
        self._ending: set[int] = set()
        """Streams that are answered while their requests go on: reset when all is sent."""
        self._resets = Allowance(_RESETS_AT_ONCE, _RESETS_PER_S, clock)
        self._asides = Allowance(_ASIDES_AT_ONCE, _ASIDES_PER_S, clock)
        self._leaving = False
        self._last = 0

    def uncredited(self) -> list[tuple[int, int]]:
        """Return streams and how much of them the client was not told to be passed on."""
        return list(self._uncredited.items())

    def buffered(self, stream: int) -> int:
        """Return how many bytes wait for the client's window."""
        return self.h2_conn.buffered(stream)

    def credit(self, stream: int, size: int) -> Steps:
        """Give the client its window back."""
        left = self._uncredited.get(stream, 0) - size
        if left > 0:
            self._uncredited[stream] = left
        else:
            self._uncredited.pop(stream, None)
        self.h2_conn.acknowledge_received_data(size, stream)
        yield from self._send()

    def _send(self) -> Steps:
        data = self.h2_conn.data_to_send()
        if data:
            yield commands.SendData(self.conn, data)

    def leave(self) -> Steps:
        """Take no new streams; end when those that are there have ended."""
        if not self._leaving:
            self._leaving = True
            yield commands.SendData(self.conn, GoAwayFrame(0, last_stream_id=self._last).serialize())
            yield from self._end_if_done()

    def _handle_event(self, event: Any) -> Steps:
        if isinstance(event, ResponseTrailers):
            event.trailers = http.Headers(normalize_h1_headers(list(event.trailers.fields), False))  # noqa: FBT003 - mitmproxy's
        if isinstance(event, ResponseProtocolError) and self._answer(event):
            yield from self._send()
        else:
            yield from super()._handle_event(event)
        if isinstance(event, ResponseEndOfMessage) and event.stream_id in self.streams:
            self._ending.add(event.stream_id)
        elif isinstance(event, ResponseProtocolError):
            yield from self._forget(event.stream_id)
        if self._ending:
            yield from self._end_streams()
        yield from self._end_if_done()

    def _answer(self, event: Any) -> bool:
        """Answer a request that has failed, where mitmproxy would with a page; say whether it was to be answered."""
        status = event.code.http_status_code()
        if status is None or not self.is_open_for_us(event.stream_id):
            return False
        if self.h2_conn.streams[event.stream_id].state_machine.headers_sent:
            return False
        fields, body = refused_2(status, event.message, context=self.context)
        self.h2_conn.send_headers(event.stream_id, fields)
        self.h2_conn.send_data(event.stream_id, body, end_stream=True)
        return True

    def _end_streams(self) -> Steps:
        for stream in list(self._ending):
            if self.h2_conn.buffered(stream) or stream in self.h2_conn.stream_trailers:
                continue
            if not self.is_closed(stream):
                # the request goes on, and nobody wants the rest of it: RFC 9113 8.1
                self.h2_conn.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
            yield from self._forget(stream)
        yield from self._send()

    def _forget(self, stream: int) -> Steps:
        self.streams.pop(stream, None)
        self._ending.discard(stream)
        left = self._uncredited.pop(stream, 0)
        if left:
            yield from self.credit(stream, left)

    def _end_if_done(self) -> Steps:
        if self._leaving and not self.streams and self._handle_event != self.done:
            yield commands.CloseConnection(self.conn)
            self._handle_event = self.done  # type: ignore[method-assign]  # as mitmproxy does

    def _too_much(self, event: Any) -> str:
        """Say what a client does too often; empty when it does not."""
        if isinstance(event, h2.events.StreamReset):
            return "" if not event.remote_reset or self._resets.take() else "too many streams were reset"
        empty = isinstance(event, h2.events.DataReceived) and not event.data and event.stream_ended is None
        if not empty and not isinstance(event, _ASIDES):
            return ""
        return "" if self._asides.take() else "too many frames without use"

    def handle_h2_event(self, event: Any) -> Verdict:
        """Take an event; return True where no other counts."""
        trouble = self._too_much(event)
        if trouble:
            yield from self.protocol_error(trouble, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            return True
        match event:
            case h2.events.DataReceived():
                return (yield from self._take(event))
            case h2.events.RequestReceived():
                self._last = max(self._last, event.stream_id)
                if self._leaving:
                    self.h2_conn.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                    return False
            case h2.events.StreamReset():
                stop = yield from super().handle_h2_event(event)
                yield from self._forget(event.stream_id)
                return bool(stop)
            case ClientLeaves():
                self._leaving = True
                return False
        return bool((yield from super().handle_h2_event(event)))

    def _take(self, event: Any) -> Verdict:
        if self.streams.get(event.stream_id) is not StreamState.HEADERS_RECEIVED or event.stream_id in self._ending:
            self.h2_conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return False
        padding = event.flow_controlled_length - len(event.data)
        if padding:
            self.h2_conn.acknowledge_received_data(padding, event.stream_id)
        if event.data:
            self._uncredited[event.stream_id] = self._uncredited.get(event.stream_id, 0) + len(event.data)
            yield ReceiveHttp(self.ReceiveData(event.stream_id, event.data))
        return False

    def close_connection(self, msg: str) -> Steps:
        """End, and all streams with it."""
        self._uncredited.clear()
        self._ending.clear()
        yield from super().close_connection(msg)
