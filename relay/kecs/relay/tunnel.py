"""Two connected sockets, joined: bytes, half-closes and resets go through as they come.

A direction begins with recv and send, which is cheapest for short exchanges, and changes to splice, which moves pages
inside the kernel, once it has carried 64 KiB.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

_COPY: Final = 65536
_SPLICE_AFTER: Final = 65536
_PIPE: Final = 1 << 20
_F_SETPIPE_SZ: Final = 1031
_SPLICE_FLAGS: Final = 1 | 2
"""SPLICE_F_MOVE | SPLICE_F_NONBLOCK."""
_ROUNDS: Final = 16
_RESET: Final = struct.pack("ii", 1, 0)


class _Direction:
    """From one socket to the other."""

    __slots__ = (
        "_copies", "_kept", "_pipe", "_reading", "_tunnel", "_writing", "carried", "done", "fill", "sink", "source",
    )  # fmt: skip

    def __init__(self, tunnel: "Tunnel", source: socket.socket, sink: socket.socket, first: bytes) -> None:
        self._tunnel = tunnel
        self.source = source
        self.sink = sink
        self.carried = 0
        self.done = False
        self.fill = 0
        """Bytes in the pipe."""
        self._kept = first
        self._pipe: tuple[int, int] | None = None
        self._copies = False
        """There were no descriptors for a pipe."""
        self._reading = False
        self._writing = False

    def start(self) -> None:
        if self._kept:
            self.flush()
        else:
            self._want_read()

    def _want_read(self) -> None:
        if not self._reading and not self.done:
            self._reading = True
            self._tunnel.loop.add_reader(self.source.fileno(), self.pump)
        if self._writing:
            self._writing = False
            self._tunnel.loop.remove_writer(self.sink.fileno())

    def _want_write(self) -> None:
        if not self._writing:
            self._writing = True
            self._tunnel.loop.add_writer(self.sink.fileno(), self.flush)
        if self._reading:
            self._reading = False
            self._tunnel.loop.remove_reader(self.source.fileno())

    @property
    def _bulky(self) -> bool:
        return self.carried >= _SPLICE_AFTER and not self._copies

    def pump(self) -> None:
        """Carry what is there."""
        self._tunnel.touched = True
        try:
            for _ in range(_ROUNDS):
                if not (self._splice() if self._bulky else self._copy()):
                    return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._tunnel.reset()

    def _copy(self) -> bool:
        """Carry once; say whether to go on at once."""
        data = self.source.recv(_COPY)
        if not data:
            self._end()
            return False
        try:
            sent = self.sink.send(data)
        except BlockingIOError:
            sent = 0
        self.carried += sent
        if sent < len(data):
            self._kept = data[sent:]
            self._want_write()
            return False
        return True  # a reset behind a short read is told by libuv once, with it, and never again

    def _splice(self) -> bool:
        pipe = self._pipe or self._open_pipe()
        if pipe is None:
            return self._copy()
        read, write = pipe
        if not self.fill:
            self.fill = os.splice(self.source.fileno(), write, _PIPE, flags=_SPLICE_FLAGS)
            if not self.fill:
                self._end()
                return False
        return self._drain(read)

    def _drain(self, read: int) -> bool:
        while self.fill:
            try:
                sent = os.splice(read, self.sink.fileno(), self.fill, flags=_SPLICE_FLAGS)
            except BlockingIOError:
                self._want_write()
                return False
            self.fill -= sent
            self.carried += sent
        return True

    def _open_pipe(self) -> tuple[int, int] | None:
        try:
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._copies = True
            return None
        with contextlib.suppress(OSError):  # the user's pipe pages may be used up
            import fcntl  # noqa: PLC0415 - only bulk needs it

            fcntl.fcntl(self._pipe[1], _F_SETPIPE_SZ, _PIPE)
        return self._pipe

    def flush(self) -> None:
        """Send what was kept, then read on."""
        self._tunnel.touched = True
        try:
            if self._kept:
                sent = self.sink.send(self._kept)
                self.carried += sent
                self._kept = self._kept[sent:]
            if self._kept or (self._pipe and self.fill and not self._drain(self._pipe[0])):
                self._want_write()
                return
        except (BlockingIOError, InterruptedError):
            self._want_write()
            return
        except OSError:
            self._tunnel.reset()
            return
        self._want_read()

    def _end(self) -> None:
        """Pass the end of file on."""
        self.stop()
        self.done = True
        with contextlib.suppress(OSError):
            self.sink.shutdown(socket.SHUT_WR)
        self._tunnel.half_done()

    def stop(self) -> None:
        """Watch nothing any more."""
        loop = self._tunnel.loop
        if self._reading:
            self._reading = False
            loop.remove_reader(self.source.fileno())
        if self._writing:
            self._writing = False
            loop.remove_writer(self.sink.fileno())
        if self._pipe:
            for descriptor in self._pipe:
                os.close(descriptor)
            self._pipe = None


class Tunnel:
    """Joins two non-blocking sockets until both directions have ended or one breaks."""

    __slots__ = ("_client", "_closed", "_done", "_server", "down", "loop", "touched", "up")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        server: socket.socket,
        done: Callable[["Tunnel", str], None],
        *,
        first: bytes = b"",
    ) -> None:
        self.loop = loop
        self._client, self._server = client, server
        self._done = done
        self._closed = False
        self.touched = True
        """Whether anything moved since this was last set to False."""
        self.up = _Direction(self, client, server, first)
        self.down = _Direction(self, server, client, b"")

    def start(self) -> None:
        """Begin to carry."""
        self.up.start()
        if not self._closed:
            self.down.start()

    def half_done(self) -> None:
        """Close when both directions have ended."""
        if self.up.done and self.down.done:
            self._close("")

    def reset(self) -> None:
        """Reset both sides: one of them was."""
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close("reset")

    def close(self) -> None:
        """End at once."""
        self._close("closed")

    def _close(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self.up.stop()
        self.down.stop()
        self._client.close()
        self._server.close()
        self._done(self, reason)
