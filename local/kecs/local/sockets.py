"""The sockets that were made inside: how the process that made them hands them to the sidecar outside."""

import fcntl
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from kecs.local.rules import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """What the sidecar works with. All are blocking when handed over."""

    listeners: tuple[socket.socket, ...]
    """The relay's TCP listeners, IPv4 first; getsockname() of what they accept is the original destination (with
    `method.inside_first`: SO_ORIGINAL_DST)."""
    dns: tuple[socket.socket, ...]
    """UDP port 53, IPv4 first, with packet info: an answer must come from the address that was asked."""
    queue: socket.socket | None
    """The netlink socket of the held SYNs; None where they can't be held."""
    helper: socket.socket
    """To the keeper of the namespace, which makes sockets inside."""
    method: Method
    """How connections reach the listeners."""

    def all(self) -> tuple[socket.socket, ...]:
        """Return every socket, in a fixed order."""
        queue = () if self.queue is None else (self.queue,)
        return (self.helper, *self.listeners, *self.dns, *queue)

    def descriptors(self) -> tuple[int, ...]:
        """Return what the sidecar must inherit (`pass_fds`)."""
        return tuple(one.fileno() for one in self.all())

    def describe(self) -> str:
        """Return one line that `adopt` understands in a process that inherited the descriptors."""
        return json.dumps({**self.counts(), "descriptors": self.descriptors()}, separators=(",", ":"))

    def counts(self) -> dict[str, int | str]:
        """Return what must be known besides the descriptors to put them back in place."""
        return {"listeners": len(self.listeners), "dns": len(self.dns), "method": self.method.value}

    @classmethod
    def adopt(cls, text: str) -> Self:
        """Take the inherited descriptors over; they are not passed on to programs that this process starts."""
        said = json.loads(text)
        for descriptor in said["descriptors"]:
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        return cls.build(said["descriptors"], listeners=said["listeners"], dns=said["dns"], method=said["method"])

    @classmethod
    def build(cls, descriptors: Sequence[int], *, listeners: int, dns: int, method: str) -> Self:
        """Put descriptors in the order of `all` back in place."""
        helper, *rest = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        queue = rest[listeners + dns :]
        return cls(
            listeners=tuple(rest[:listeners]),
            dns=tuple(rest[listeners : listeners + dns]),
            queue=queue[0] if queue else None,
            helper=helper,
            method=Method(method),
        )

    def close(self) -> None:
        """Close this process' copies: a listener whose last copy is closed refuses, instead of leaving clients hang."""
        for one in self.all():
            one.close()
