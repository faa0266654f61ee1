"""The sidecar's way to the keeper: TCP sockets that live inside the namespace, to dial what listens there."""

import asyncio
import errno
import os
import socket
from collections import deque
from typing import Final

from kecs.local import channel

_CONNECT_TIMEOUT_S: Final = 10.0


class Helper:
    """Dials inside. Its sockets carry the mark that keeps the connection from coming back to the relay."""

    def __init__(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
        self._loop = loop
        self._control = control
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()
        loop.add_reader(control.fileno(), self._readable)

    def close(self) -> None:
        """End the channel; who still waits gets an error."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
        while self._waiting:
            self._settle(OSError(errno.ECONNRESET, "the keeper of the namespace has ended"))

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a non-blocking socket connected to an address inside; raises OSError."""
        made = await self._socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._loop.sock_connect(made, (host, port))
        except BaseException:
            made.close()
            raise
        return made

    async def _socket(self, family: socket.AddressFamily) -> socket.socket:
        future: asyncio.Future[socket.socket] = self._loop.create_future()
        # the request is a few bytes on a socket whose peer reads at once: it never blocks
        channel.send(self._control, {"family": int(family)})
        self._waiting.append(future)
        return await future

    def _readable(self) -> None:
        try:
            answer = channel.receive(self._control)
        except (OSError, EOFError):
            answer = None
        if answer is None:
            self.close()
            return
        said, descriptors = answer
        if descriptors:
            self._settle(socket.socket(fileno=descriptors[0]))
        else:
            self._settle(OSError(said["errno"], os.strerror(said["errno"])))

    def _settle(self, result: socket.socket | OSError) -> None:
        future = self._waiting.popleft()
        if future.done():  # whoever asked was cancelled
            if isinstance(result, socket.socket):
                result.close()
        elif isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)
