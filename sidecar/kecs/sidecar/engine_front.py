"""The engine's door: it accepts connections, reads whose they are, and notices when nobody comes any more."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from kecs.core.errors import ProtocolError
from kecs.sidecar import engine_origin
from kecs.sidecar.engine_connection import Handler, Hooks
from kecs.sidecar.engine_origin import Origin
from kecs.sidecar.engine_settings import EngineSettings
from kecs.sidecar.engine_stream import Relay

_LOOPBACK: Final = "127.0.0.1"
_HEADER_S: Final = 10.0
_ACCEPTS_PER_WAKE: Final = 16
_PAUSE_S: Final = 0.1


class Front:
    """Accepts connections, counts them, and says when there was none for a time."""

    def __init__(
        self, settings: EngineSettings, options: Any, hooks: Hooks, opened: Callable[[Handler], Any] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(fileno=settings.front)
        self._secret = settings.secret.encode()
        self._relay_address = (_LOOPBACK, settings.way_back)
        self._idle_s = settings.idle_s
        self._options, self._hooks = options, hooks
        self._opened = opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: set[Handler] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self.ended = asyncio.Event()
        """Set when there was nothing to do for the time that was asked for; no connection is accepted any more."""

    def start(self) -> None:
        """Begin to accept."""
        self._sock.settimeout(0)
        self._loop.add_reader(self._sock.fileno(), self._accept)
        self._rest()

    def leave(self) -> None:
        """Have clients end their connections in order; new ones are served until then."""
        self._draining = True
        for handler in list(self._handlers):
            handler.leave()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors are left: it stays in the backlog
                self._loop.remove_reader(self._sock.fileno())
                self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._sock.fileno(), self._accept)
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            task = self._loop.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logging.getLogger(__name__).error("a connection ends by a fault", exc_info=fault)
        self._rest()

    def _rest(self) -> None:
        if not self._tasks and self._idle_s and self._timer is None:
            self._timer = self._loop.call_later(self._idle_s, self._idle)

    def _idle(self) -> None:
        """End. What has come in since the last look waits in the backlog, which is the sidecar's: nothing is lost."""
        self._loop.remove_reader(self._sock.fileno())
        self.ended.set()

    async def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            async with asyncio.timeout(_HEADER_S):
                origin = await self._origin(reader)
        except (OSError, EOFError, TimeoutError, ProtocolError):
            writer.close()
            return
        relay = Relay(address=self._relay_address, mark=engine_origin.mark(origin, self._secret))
        handler = Handler(reader, writer, options=self._options, hooks=self._hooks, relay=relay, origin=origin)
        self._handlers.add(handler)
        try:
            with self._opened(handler) if self._opened is not None else contextlib.nullcontext():
                if self._draining:
                    handler.leave()
                await handler.handle_client()
        finally:
            self._handlers.discard(handler)

    async def _origin(self, reader: asyncio.StreamReader) -> Origin:
        fixed = await reader.readexactly(engine_origin.FIXED)
        rest = await reader.readexactly(engine_origin.rest_of(fixed))
        return engine_origin.read(fixed + rest, self._secret)
