"""Published ports: a server inside, reached from the host at loopback."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from kecs.core.errors import UsageError
from kecs.local.helper import Helper
from kecs.local.options import Publish
from kecs.relay.decide import Address

_BACKLOG: Final = 1024
_CHUNK: Final = 1 << 16
_LOOPBACK: Final = ("127.0.0.1", "::1")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_LAST_PORT: Final = 65535


def bind(published: Publish) -> tuple[socket.socket, ...]:
    """Listen on the host's loopback, IPv4 and (where there is any) IPv6; raises UsageError when the port is busy."""
    made = []
    for host in _LOOPBACK:
        try:
            made.append(_listener(host, published.host_port))
        except OSError as error:
            if host == _LOOPBACK[1] and error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                continue
            for one in made:
                one.close()
            raise _unusable(published, host, error) from error
    return tuple(made)


def _listener(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _unusable(published: Publish, host: str, error: OSError) -> UsageError:
    port = published.host_port
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < _LAST_PORT else 8080
        hint = f"choose another one on the host: --publish {other}:{published.inside_port}"
        return UsageError(f"--publish {port}: port {port} of the host is busy ({host})", hint=hint)
    if error.errno in {errno.EACCES, errno.EPERM}:
        hint = f"choose one above 1023: --publish {8000 + port % 1000}:{published.inside_port}"
        return UsageError(f"--publish {port}: port {port} of the host needs root", hint=hint)
    said = os.strerror(error.errno or 0)
    return UsageError(f"--publish {port}: {host} can't be bound: {said}", hint="is the loopback interface up?")


def is_own(destination: Address, published: tuple[Publish, ...]) -> bool:
    """Say whether a dial from inside would only come back: loopback, at a port that is published under its own number.

    Nobody listens there inside (the kernel would have kept it inside), so it must be refused.
    """
    same = any(one.host_port == one.inside_port == destination.port for one in published)
    return same and ip_address(destination.host).is_loopback


class Publisher:
    """Serves published ports on an event loop."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._tasks: set[asyncio.Task[None]] = set()
        self.served = 0
        self.refused = 0
        """Connections that found nobody inside."""

    def serve(self, listener: socket.socket, port: int) -> None:
        """Accept on a listener of `bind` and pump each connection to the port inside."""
        listener.settimeout(0)
        self._start(self._accept(listener, port))

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket, port: int) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    client, _address = await loop.sock_accept(listener)
                except OSError as error:
                    if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS, errno.ENOMEM}:
                        raise
                    await asyncio.sleep(0.05)  # out of descriptors: they come back as connections end
                    continue
                client.settimeout(0)
                self._start(self._connection(client, port))

    async def _connection(self, client: socket.socket, port: int) -> None:
        with client:
            try:
                inside = await self._dial(port)
            except OSError:
                self.refused += 1
                reset(client)
                return
            self.served += 1
            with inside:
                await pump_both(client, inside)

    async def _dial(self, port: int) -> socket.socket:
        try:
            return await self._helper.connect(_LOOPBACK[0], port)
        except OSError:
            return await self._helper.connect(_LOOPBACK[1], port)


def reset(one: socket.socket) -> None:
    """Make the coming close a reset."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


async def pump_both(first: socket.socket, second: socket.socket) -> None:
    """Carry bytes both ways until both have ended; the reset of one becomes the reset of the other."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(first, second))
            group.create_task(_pump(second, first))
    except* OSError:
        reset(first)
        reset(second)


async def _pump(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    while size := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(target, view[:size])
    with suppress(OSError):  # the other way may have ended it meanwhile
        target.shutdown(socket.SHUT_WR)
