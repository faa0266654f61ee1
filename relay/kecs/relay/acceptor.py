"""Listening sockets, and what is done when there are no descriptors left to accept with. An edge.

A shortage may pass within a moment, so connections wait in the backlog at first. One that lasts is told: a descriptor
that is kept in reserve serves to accept and reset whoever waits, since clients try again, and a queue helps nobody.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kecs.relay.decide import Address
from kecs.relay.occupancy import Limit
from kecs.relay.original import address_of, is_local

SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the kernel says when it is out of descriptors or of memory for sockets (accept(2), socket(2))."""

_ACCEPTS_PER_WAKE: Final = 64
_PAUSE_S: Final = 0.1
_SHORTAGE_S: Final = 1.0
_RESET: Final = struct.pack("ii", 1, 0)

type OriginalDestination = Callable[[socket.socket], Address]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listener:
    """A listening socket, and how what comes from it is treated."""

    sock: socket.socket
    address: Address
    origin: str
    original_destination: OriginalDestination
    room: int = 0
    """Connections at a time, the oldest giving way; 0: by the limits for clients."""
    accepts: int = _ACCEPTS_PER_WAKE
    """Connections accepted in one go."""
    accept: Callable[[], tuple[socket.socket, Any]] = field(init=False)
    """Accept one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "accept", _accepting(self.sock))

    def is_own(self, destination: Address) -> bool:
        """Whether dialling the destination would arrive here again."""
        if destination.port != self.address.port:
            return False
        anywhere = self.address.host in {"0.0.0.0", "::"}
        return destination.host == self.address.host or (anywhere and is_local(destination.host))


def _accepting(listener: socket.socket) -> Callable[[], tuple[socket.socket, Any]]:
    """Return what accepts from a listening socket.

    `socket.accept` asks the listener for its family and its type each time, by way of enumerations: half of its cost.
    The method that it calls is no public name: where it should be missing, `socket.accept` serves.
    """
    take = getattr(listener, "_accept", None)
    if take is None:
        return listener.accept
    kind = (int(listener.family), int(listener.type), listener.proto)

    def accept() -> tuple[socket.socket, Any]:
        descriptor, peer = take()
        return socket.socket(*kind, fileno=descriptor), peer

    return accept


def reset(sock: socket.socket) -> None:
    """Close a connection so that its peer learns of it at once."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Acceptor:
    """See the module. `relieve` is asked to give descriptors back that are held only to save time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        arrive: Callable[[socket.socket, Listener, Address], None],
        *,
        counters: dict[str, int],
        relieve: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._arrive = arrive
        self._counters = counters
        self._relieve = relieve
        self._listeners: list[Listener] = []
        self._spare = _spare()
        self._short_since: float | None = None

    def add(self, listener: Listener) -> None:
        """Accept from now on; the socket is closed at the end."""
        listener.sock.settimeout(0)
        with contextlib.suppress(OSError):  # what is accepted inherits it; there may be sockets that are not TCP
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listeners.append(listener)
        self._resume(listener)

    def close(self) -> None:
        """Accept no more."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.sock.fileno())
            listener.sock.close()
        self._listeners.clear()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _accept(self, listener: Listener) -> None:
        for _ in range(listener.accepts):
            try:
                sock, client = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listener, error)
                return
            self._short_since = None
            self._arrive(sock, listener, address_of(client))

    def _pause(self, listener: Listener, error: OSError) -> None:
        """Leave them in the backlog for a moment; an error of the network was that connection's alone."""
        self._counters["accept_paused"] += 1
        self._loop.remove_reader(listener.sock.fileno())
        self._loop.call_later(_PAUSE_S, self._resume, listener)
        if error.errno not in SHORT:
            return
        self._counters[Limit.DESCRIPTORS] += 1
        self._relieve()
        now = self._loop.time()
        if self._short_since is None:
            self._short_since = now
        elif now - self._short_since > _SHORTAGE_S:
            self._shed(listener)

    def _resume(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.sock.fileno(), self._accept, listener)

    def _shed(self, listener: Listener) -> None:
        """Reset those who wait, by the one descriptor that is left for it."""
        if self._spare >= 0:
            os.close(self._spare)
        for _ in range(listener.accepts):
            try:
                sock, _ = listener.accept()
            except OSError:
                break
            self._counters["connections_shed"] += 1
            reset(sock)
        self._spare = _spare()


def _spare() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
