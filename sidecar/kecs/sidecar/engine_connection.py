"""Sockets under mitmproxy's layers: reads that wait until what was read is taken, and writes that are gathered.

Stock mitmproxy 12.2 stops reading from everybody while anybody is slow, which ends two streaming directions in a
deadlock, dials five connections at most, and never says goodbye in TLS.
"""

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from mitmproxy.connection import ConnectionState
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, server_hooks
from mitmproxy.proxy.layer import NextLayerHook
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO, LiveConnectionHandler
from OpenSSL import SSL

from kecs.sidecar.engine_http1 import Abort
from kecs.sidecar.engine_origin import Origin
from kecs.sidecar.engine_stream import Http, Leave, Relay, Room

_READ: Final = 65536
_HIGH: Final = 1 << 18
_LOW: Final = 1 << 16
UNREAD_MAX: Final = 8 << 20
"""Answers to frames that a client sends without reading any; then it is cut off."""
_RESET: Final = struct.pack("ii", 1, 0)
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 1 << 24


class Hooks(Protocol):
    """Who is asked and told while connections are served."""

    def now(self, hook: Any) -> bool:
        """Do at once what a hook is for; False where it must be waited for."""

    def later(self, hook: Any) -> Awaitable[None]:
        """Do what a hook is for."""


class Goodbye(ClientTLSLayer):  # type: ignore[misc]  # mitmproxy is untyped to us
    """TLS to a client, ended as it should be: without close_notify, what came may be taken for cut off."""

    def send_close(self, command: Any) -> Any:
        """Say goodbye, then close."""
        if self.tls is not None:
            try:
                self.tls.shutdown()
            except SSL.Error:
                pass  # the handshake was not completed
            else:
                yield from self.tls_interact()
        yield from super().send_close(command)


class Door(layer.Layer):  # type: ignore[misc]  # as above
    """The outermost layer: mitmproxy's others want one above themselves."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._child = layer.NextLayer(context)

    def _handle_event(self, event: Any) -> Any:
        yield from self._child.handle_event(event)


class Handler(LiveConnectionHandler):  # type: ignore[misc]  # as above
    """One client's connection, and those that are dialled for it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        options: Any,
        hooks: Hooks,
        relay: Relay,
        origin: Origin,
        unread_max: int = UNREAD_MAX,
    ) -> None:
        host, port = relay.address
        super().__init__(reader, writer, options, ProxyMode.parse(f"reverse:http://{host}:{port}"))
        self.client.peername = tuple(origin.client)
        self.client.sockname = tuple(origin.destination)
        self.layer: Any = Door(self.layer.context)
        self._hooks = hooks
        self._relay = relay
        self._unread_max = unread_max
        self._http: Http | None = None
        self._waiting: deque[Any] = deque()
        self._busy = False
        self._unwritten: dict[Any, list[bytes]] = {}
        self._moved = asyncio.Event()
        """Set, and replaced, whenever something has been taken by somebody."""
        self._draining: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        writer.transport.set_write_buffer_limits(_HIGH, _LOW)

    # events and commands

    async def server_event(self, event: Any) -> None:
        """Take an event from mitmproxy's part of this."""
        self.feed(event)

    def feed(self, event: Any) -> None:
        """Have the layers take an event, and do what they want. What they cause meanwhile is taken after it."""
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                for command in self.layer.handle_event(self._waiting.popleft()):
                    self._do(command)
        except Exception:  # noqa: BLE001 - of a layer or an addon: this connection ends, no other
            self.log("a connection ends by a fault", 40, exc_info=True)
            self._abort()
        finally:
            self._busy = False
            self._write()
        self.timeout_watchdog.register_activity()

    def _do(self, command: Any) -> None:
        match command:
            case commands.SendData():
                if command.connection in self.transports:
                    self._unwritten.setdefault(command.connection, []).append(command.data)
            case commands.OpenConnection():
                self.transports[command.connection] = ConnectionIO()
                task = asyncio.create_task(self.open_connection(command))  # which may run before this returns
                if command.connection in self.transports:
                    self.transports[command.connection].handler = task
            case Abort():
                self._reset(command.connection)
            case commands.CloseConnection():
                self._close(command)
            case NextLayerHook():
                self._choose(command.data)
                self._waiting.append(events.HookCompleted(command))
            case commands.StartHook():
                self._hook(command)
            case commands.Log():
                self.log(command.message, command.level)
            case _:
                raise AssertionError(command)

    def _close(self, command: Any) -> None:
        self._write()
        if command.connection in self.transports:
            half = isinstance(command, commands.CloseTcpConnection) and command.half_close
            self.close_connection(command.connection, half)

    def _reset(self, connection: Any) -> None:
        stream = self.transports.get(connection)
        self._unwritten.pop(connection, None)
        if stream is not None and stream.writer is not None:
            sock = stream.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            stream.writer.transport.abort()

    def _hook(self, hook: Any) -> None:
        if self._hooks.now(hook):
            if hook.blocking:
                self._waiting.append(events.HookCompleted(hook))
            return
        self._spawn(self._told(hook))

    async def _told(self, hook: Any) -> None:
        await self.hook_task(hook)
        self._turn()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def handle_hook(self, hook: Any) -> None:
        """Do what a hook is for."""
        if not self._hooks.now(hook):
            with self.timeout_watchdog.disarm():
                await self._hooks.later(hook)

    def _choose(self, asked: Any) -> None:
        """Choose between TLS and HTTP, which is all there is."""
        data = asked.data_client()
        if not data:
            return
        if not self.client.tls and starts_like_tls_record(data):
            asked.layer = Goodbye(asked.context)
        elif len(data) > 2 or data[:1] != b"\x16":  # noqa: PLR2004 - fewer bytes may be TLS yet
            self._http = asked.layer = Http(asked.context, self._relay)

    def leave(self) -> None:
        """Take no new requests, and end when those that are there have ended."""
        self.feed(Leave())

    # writing

    def _write(self) -> None:
        """Write what one event has caused, at once: a head and a small body go as one segment."""
        for connection, parts in self._unwritten.items():
            stream = self.transports.get(connection)
            if stream is None or stream.writer is None or stream.writer.is_closing():
                continue
            stream.writer.write(b"".join(parts) if len(parts) > 1 else parts[0])
            size = stream.writer.transport.get_write_buffer_size()
            if connection is self.client and size > self._unread_max:
                self._abort()
            elif size > _HIGH and connection not in self._draining:
                self._draining.add(connection)
                self._spawn(self._drain(connection, stream.writer))
        self._unwritten = {}

    async def _drain(self, connection: Any, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.drain()
        except OSError:
            pass  # whoever reads from it will see
        finally:
            self._draining.discard(connection)
        self._turn()

    def _turn(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        if self._http is not None and self._http.owes:
            self.feed(Room(lambda server: server not in self._draining))

    def _abort(self) -> None:
        for stream in list(self.transports.values()):
            if stream.writer is not None:
                stream.writer.transport.abort()
            if stream.handler is not None:
                stream.handler.cancel("aborted")

    # reading

    async def handle_connection(self, connection: Any) -> None:
        """Read until the end; go on only when there is room for more."""
        stream = self.transports[connection]
        connection.state = await self._read(connection, stream.reader)
        self.feed(events.ConnectionClosed(connection))
        self._turn()
        if connection.state is ConnectionState.CAN_WRITE:
            try:
                await asyncio.Event().wait()  # who has ended its side may still be answered
            except asyncio.CancelledError:
                connection.state = ConnectionState.CLOSED
        if connection is self.client:
            await self._linger(stream)
        stream.writer.close()
        connection.timestamp_end = connection.timestamp_end or time.time()
        self.transports.pop(connection, None)

    async def _read(self, connection: Any, reader: asyncio.StreamReader) -> Any:
        """Read and feed; return the state in which this ends."""
        try:
            while data := await reader.read(_READ):
                self.feed(events.DataReceived(connection, data))
                self._turn()
                while not self._has_room(connection):
                    await self._moved.wait()
        except (OSError, asyncio.CancelledError):
            return ConnectionState.CLOSED
        return connection.state & ~ConnectionState.CAN_READ

    def _has_room(self, connection: Any) -> bool:
        """Say whether more may be read from a connection."""
        http = self._http
        if connection is not self.client:
            return self.client not in self._draining and (http is None or http.backlog(connection) < _HIGH)
        if http is None or self.client.alpn == b"h2":
            return True  # HTTP/2 has windows, and must be read for the other side's
        return http.held() < _HIGH and not (self._draining - {self.client})

    async def _linger(self, stream: ConnectionIO) -> None:
        """Read on for a moment after the last word: what is unread at a close turns it into a reset."""
        if stream.reader.at_eof() or stream.writer.is_closing():
            return
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_S):
                await stream.writer.drain()
                stream.writer.write_eof()
                while left > 0 and (data := await stream.reader.read(_READ)):
                    left -= len(data)
        except (OSError, TimeoutError, asyncio.CancelledError):
            return

    async def _dial(self, server: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if server.error:
            raise OSError(server.error)  # an addon's wish
        if tuple(server.address or ()) != self._relay.address:
            raise OSError("the engine connects to the relay only")
        server.timestamp_start = time.time()
        return await asyncio.open_connection(*self._relay.address)

    async def open_connection(self, command: Any) -> None:
        """Dial the relay, and nobody else."""
        server = command.connection
        hook = server_hooks.ServerConnectionHookData(client=self.client, server=server)
        await self.handle_hook(server_hooks.ServerConnectHook(hook))
        try:
            reader, writer = await self._dial(server)
        except (OSError, asyncio.CancelledError) as fault:
            server.error = str(fault) or "cancelled"
            self.transports.pop(server, None)
            await self.handle_hook(server_hooks.ServerConnectErrorHook(hook))
            self.feed(events.OpenConnectionCompleted(command, server.error))
            return
        writer.transport.set_write_buffer_limits(_HIGH, _LOW)
        server.timestamp_tcp_setup = time.time()
        server.state = ConnectionState.OPEN
        server.peername, server.sockname = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        self.transports[server] = ConnectionIO(handler=asyncio.current_task(), reader=reader, writer=writer)
        await self.handle_hook(server_hooks.ServerConnectedHook(hook))
        self.feed(events.OpenConnectionCompleted(command, None))
        self._turn()
        try:
            await self.handle_connection(server)
        finally:
            server.timestamp_end = time.time()
            await self.handle_hook(server_hooks.ServerDisconnectedHook(hook))
