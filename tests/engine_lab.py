"""The engine's layers between real sockets: ours, and mitmproxy's own beside them, with a raw backend behind."""

import asyncio
import contextlib
import gc
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from mitmproxy.proxy import layers
from mitmproxy.proxy.layer import NextLayerHook
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import TlsStartClientHook
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import LiveConnectionHandler
from sidecar_service_lab import PATIENCE_S, authority

from kecs.relay.decide import Address
from kecs.sidecar.engine_connection import Handler
from kecs.sidecar.engine_origin import Origin
from kecs.sidecar.engine_process import Nobody, Options
from kecs.sidecar.engine_stream import Relay
from kecs.sidecar.engine_tls import Leaves

S3: Final = "b.s3.eu-west-1.amazonaws.com"
OURS, STOCK = "ours", "stock"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ORIGIN: Final = Origin(client=Address("10.1.2.3", 40001), destination=Address("203.0.113.9", 443))


class Raw:
    """A socket that is read as text protocols are written down."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)
        self._held = b""

    def until(self, end: bytes) -> bytes:
        while end not in self._held:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._held)
            self._held += data
        found, _, self._held = self._held.partition(end)
        return found + end

    def head(self) -> str:
        return self.until(b"\r\n\r\n").decode("latin-1")

    def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._held)
            self._held += data
        found, self._held = self._held[:size], self._held[size:]
        return found

    def chunk(self) -> bytes:
        size = int(self.until(b"\r\n"), 16)
        if not size:
            return b""
        return self.exactly(size + 2)[:-2]

    def rest(self) -> bytes:
        """Read to the end, which a reset is too."""
        with contextlib.suppress(ConnectionError):
            while data := self.sock.recv(65536):
                self._held += data
        found, self._held = self._held, b""
        return found

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        self.sock.close()


class Backend:
    """Accepts what the engine dials."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((host, 0), backlog=1024)
        self.listener.settimeout(PATIENCE_S)
        self.port: int = self.listener.getsockname()[1]
        self.accepted: list[Raw] = []

    def accept(self) -> Raw:
        sock, _ = self.listener.accept()
        self.accepted.append(Raw(sock))
        return self.accepted[-1]

    def nobody_waits(self) -> bool:
        """Say whether no connection was made that was not accepted."""
        self.listener.settimeout(0)
        try:
            self.accepted.append(Raw(self.listener.accept()[0]))
        except BlockingIOError:
            return True
        finally:
            self.listener.settimeout(PATIENCE_S)
        return False

    def close(self) -> None:
        for one in self.accepted:
            one.close()
        self.listener.close()


@contextmanager
def backend() -> Iterator[Backend]:
    made = Backend()
    try:
        yield made
    finally:
        made.close()


class StockHooks:
    """What a ten-line addon would do, without a master."""

    def __init__(self, leaves: Leaves, address: tuple[str, int], *, stream: bool) -> None:
        self.leaves, self.address, self.stream = leaves, address, stream

    def run(self, hook: Any) -> None:
        if isinstance(hook, TlsStartClientHook):
            self.leaves.tls_start_client(hook.data)
        elif isinstance(hook, NextLayerHook):
            asked = hook.data
            if not asked.context.client.tls and asked.data_client()[:1] == b"\x16":
                asked.layer = layers.ClientTLSLayer(asked.context)
            elif asked.data_client():
                asked.layer = layers.HttpLayer(asked.context, HTTPMode.transparent)
        elif hook.name == "requestheaders":
            hook.flow.request.stream = self.stream
        elif hook.name == "responseheaders":
            hook.flow.response.stream = self.stream


class StockHandler(LiveConnectionHandler):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmproxy's own handler of connections."""

    hooks: Any = None

    async def handle_hook(self, hook: Any) -> None:
        self.hooks.run(hook)


class Crashes(logging.Handler):
    """What was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._told: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        self._told.put(f"{record.getMessage()}: {type(fault).__name__}: {fault}")

    def next(self) -> str:
        """Wait for one."""
        return self._told.get(timeout=PATIENCE_S)

    def none(self) -> bool:
        return self._told.empty()


@dataclass
class Arm:
    """An engine in this process, and whom it has told of what."""

    loop: asyncio.AbstractEventLoop
    address: tuple[str, int]
    root: str
    crashes: Crashes
    handlers: list[Any] = field(default_factory=list)
    opened: list[socket.socket] = field(default_factory=list)

    def plain(self) -> Raw:
        self.opened.append(socket.create_connection(self.address, timeout=PATIENCE_S))
        return Raw(self.opened[-1])

    def tls(self, *alpn: str, name: str = S3) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.root)
        context.set_alpn_protocols(list(alpn))
        sock = socket.create_connection(self.address, timeout=PATIENCE_S)
        self.opened.append(sock)
        self.opened.append(context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False))
        return self.opened[-1]  # type: ignore[return-value]  # the last of a list of sockets

    def over_memory(self, *alpn: str) -> "Memory":
        context = ssl.create_default_context(cadata=self.root)
        context.set_alpn_protocols(list(alpn))
        self.opened.append(socket.create_connection(self.address, timeout=PATIENCE_S))
        return Memory(self.opened[-1], context)

    def http1(self) -> Raw:
        return Raw(self.tls("http/1.1"))

    def http2(self, **settings: int) -> "Http2":
        return Http2(self.tls("h2"), **settings)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def on_loop() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop).result(PATIENCE_S)


class Memory:
    """A TLS client that can say goodbye and read on, which Python's sockets can't."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=S3)
        self._step(self._tls.do_handshake)

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self._sock.sendall(self._out.read())
                data = self._sock.recv(65536)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            finally:
                self._sock.sendall(self._out.read())

    def write(self, data: bytes) -> None:
        self._step(self._tls.write, data)

    def goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._sock.sendall(self._out.read())

    def rest(self) -> tuple[bytes, bool]:
        """Read to the end; say whether the other side has said goodbye."""
        found = b""
        try:
            while True:
                found += self._step(self._tls.read, 65536)
        except ssl.SSLZeroReturnError:
            return found, True
        except ssl.SSLEOFError:
            return found, False


def _handler(made: Arm, kind: str, to: tuple[str, int], **more: Any) -> Callable[..., Any]:
    async def serve(reader: Any, writer: Any) -> None:
        if kind == OURS:
            relay = Relay(address=to, mark=b"marked")
            handler: Any = Handler(reader, writer, relay=relay, origin=ORIGIN, **more)
        else:
            handler = StockHandler(reader, writer, more["options"], ProxyMode.parse(f"reverse:http://{to[0]}:{to[1]}"))
            handler.hooks = more["hooks"]
            handler.layer = layers.modes.ReverseProxy(handler.layer.context)
        made.handlers.append(handler)
        with contextlib.suppress(asyncio.CancelledError):
            await handler.handle_client()

    return serve


@contextmanager
def engine(
    kind: str,
    port: int,
    *,
    stream: bool = True,
    wrap: Callable[[Any], Any] | None = None,
    options: Any = None,
    **more: Any,
) -> Iterator[Arm]:
    """Run one of the two; `stream` is what stock mitmproxy is told, ours always does."""
    root, intermediate = authority()
    chain, key = intermediate.to_pem()
    leaves = Leaves(chain.decode(), key.decode(), ())
    to = ("127.0.0.1", port)
    hooks: Any = Nobody(leaves) if kind == OURS else StockHooks(leaves, to, stream=stream)
    hooks = wrap(hooks) if wrap is not None else hooks
    options = options or Options()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    crashes = Crashes()
    logging.getLogger("mitmproxy").addHandler(crashes)
    made = Arm(loop, ("", 0), root, crashes)
    serve = _handler(made, kind, to, hooks=hooks, options=options, **more)
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024), loop).result()
    made.address = server.sockets[0].getsockname()[:2]
    try:
        yield made
    finally:
        for sock in reversed(made.opened):
            sock.close()
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        logging.getLogger("mitmproxy").removeHandler(crashes)


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    while tasks := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
        await asyncio.wait(tasks)
    for transport in [one for one in gc.get_objects() if issubclass(type(one), asyncio.Transport)]:
        if getattr(transport, "_loop", None) is asyncio.get_running_loop():
            transport.abort()  # some would wait for what they have sent to be read
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@dataclass
class Reply:
    """What came on one stream."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    interim: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None


def _text(fields: Any) -> dict[str, str]:
    return {
        (name.decode() if isinstance(name, bytes) else name): (value.decode() if isinstance(value, bytes) else value)
        for name, value in fields
    }


class Http2:
    """A client that speaks HTTP/2 only. It takes what comes unless `greedy` is turned off."""

    def __init__(self, sock: ssl.SSLSocket, **settings: int) -> None:
        assert sock.selected_alpn_protocol() == "h2"
        self.sock = sock
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        for name, value in settings.items():
            self.h2.local_settings[h2.settings.SettingCodes[name]] = value
        self.h2.local_settings.acknowledge()  # or h2 would say its own
        self.h2.initiate_connection()
        self.replies: dict[int, Reply] = {}
        self.greedy = True
        self.pongs = 0
        self.gone: int | None = None
        """The error code of the engine's GOAWAY."""
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def open(self, method: str, path: str, *fields: tuple[str, str], end: bool = False, host: str = S3) -> int:
        """Begin a request."""
        stream = self.h2.get_next_available_stream_id()
        self.replies[stream] = Reply()
        head = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path), *fields]
        self.h2.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send, as fast as the windows allow."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if not room:
                self.receive()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def ask(self, method: str, path: str, *chunks: bytes, length: bool = False, host: str = S3) -> int:
        """Send a whole request."""
        fields = [("content-length", str(sum(map(len, chunks))))] if length else []
        stream = self.open(method, path, *fields, end=not chunks, host=host)
        for index, chunk in enumerate(chunks):
            self.data(stream, chunk, end=index == len(chunks) - 1)
        return stream

    def fill(self, stream: int) -> None:
        """Send until the stream's window is used up."""
        while room := min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size):
            self.h2.send_data(stream, bytes(room))
            self.flush()

    def trailers(self, stream: int, *fields: tuple[str, str]) -> None:
        """End a request with fields."""
        self.h2.send_headers(stream, list(fields), end_stream=True)
        self.flush()

    def receive(self) -> None:
        """Take what comes next."""
        self.flush()
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the engine has closed the connection")
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                fields = _text(event.headers)
                self.replies[event.stream_id].interim.append((int(fields.pop(":status")), fields))
            case h2.events.ResponseReceived():
                fields = _text(event.headers)
                reply = self.replies[event.stream_id]
                reply.status, reply.fields = int(fields.pop(":status")), fields
            case h2.events.DataReceived():
                self.replies[event.stream_id].body += event.data
                if self.greedy:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                self.replies[event.stream_id].trailers = _text(event.headers)
            case h2.events.StreamEnded():
                self.replies[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.replies[event.stream_id].reset = int(event.error_code)
            case h2.events.PingAckReceived():
                self.pongs += 1
            case h2.events.ConnectionTerminated():
                self.gone = int(event.error_code or 0)

    def until(self, condition: Callable[[], bool]) -> None:
        """Receive until something is so."""
        while not condition():
            self.receive()

    def reply(self, stream: int) -> Reply:
        """Wait for a response to be complete."""
        found = self.replies[stream]
        self.until(lambda: found.ended or found.reset is not None)
        return found

    def settled(self) -> None:
        """Wait until the engine has taken all that was sent: it answers pings in order."""
        wanted = self.pongs + 1
        self.h2.ping(b"settled!")
        self.until(lambda: self.pongs >= wanted)

    def rest(self) -> None:
        """Receive until the engine closes."""
        with contextlib.suppress(EOFError, OSError, h2.exceptions.ProtocolError):
            while True:
                self.receive()
