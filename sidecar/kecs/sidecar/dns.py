"""The DNS forwarder: datagrams in, datagrams out, on the sidecar's loop."""

import asyncio
import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kecs.aws.hosts import is_aws_name
from kecs.relay.acceptor import SHORT
from kecs.sidecar.dns_names import Allocator, is_query, reply_to, server_failure

__all__ = ["Allocator", "DnsForwarder"]

_DATAGRAM_MAX: Final = 65535
_PER_WAKE: Final = 64
_PENDING_MAX: Final = 1024
_PKTINFO_4: Final = struct.Struct("=I4s4s")  # interface, local address, destination address
_PKTINFO_6: Final = struct.Struct("=16sI")
_PORT: Final = 53
_LOOK_S: Final = 1.0

type _Peer = tuple[str, int] | tuple[str, int, int, int]
type _Ancillary = list[tuple[int, int, bytes]]


@dataclass(slots=True)
class Resolvers:
    """The machine's own resolvers and search list, as its resolv.conf names them now, or named them a second ago."""

    path: Path
    _looked: float = -math.inf
    _stamp: tuple[int, int] = (0, 0)
    _servers: list[str] = field(default_factory=list)
    _search: list[str] = field(default_factory=list)

    def servers(self) -> list[str]:
        """Return the addresses."""
        self._read()
        return self._servers

    def search(self) -> list[str]:
        """Return the domains that clients put after names, without final dots."""
        self._read()
        return self._search

    def _read(self) -> None:
        """Read the file again when it has changed; whoever asks waits for the disk once a second at most."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                text = self.path.read_text(encoding="utf-8", errors="replace")
                self._servers, self._search = _nameservers(text), _search(text)
                self._stamp = stamp
        except OSError as error:
            if error.errno not in SHORT:  # what was known still holds when there is no descriptor to read with
                self._servers, self._search, self._stamp = [], [], (0, 0)


def _nameservers(text: str) -> list[str]:
    words = (line.split() for line in text.splitlines())
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return found or ["127.0.0.1"]  # what resolv.conf(5) says of a file that names none


def _search(text: str) -> list[str]:
    """Read the last line of either kind, which is the one that holds (resolv.conf(5))."""
    lines = [line.split() for line in text.splitlines()]
    found = [line[1:] for line in lines if line[:1] in (["search"], ["domain"])] or [[]]
    return [domain.rstrip(".").lower() for domain in found[-1] if domain.strip(".")]


@dataclass(slots=True, eq=False)
class _Asked:
    """A query on its way to the machine's resolvers."""

    data: bytes
    sock: socket.socket
    peer: _Peer
    ancillary: _Ancillary
    servers: list[str]
    upstream: socket.socket | None = None
    timer: asyncio.TimerHandle | None = None


class DnsForwarder:
    """Answers AWS names itself and forwards everything else, verbatim.

    `sockets` are bound UDP sockets with IP_PKTINFO or IPV6_RECVPKTINFO: an answer has to come from the address that was
    asked, or the client drops it. They are closed at the end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        allocator: Allocator,
        *,
        resolvers: Resolvers,
        intercepted: Callable[[str], bool] = is_aws_name,
        timeout_s: float = 2.0,
        port: int = _PORT,
    ) -> None:
        self._loop = loop
        self._sockets = tuple(sockets)
        self._allocator = allocator
        self._resolvers = resolvers
        self._intercepted = intercepted
        self._timeout_s = timeout_s
        self._port = port
        self._asked: set[_Asked] = set()
        self.counters = {"answered": 0, "forwarded": 0, "failed": 0, "dropped": 0}

    def start(self) -> None:
        """Begin to answer."""
        for sock in self._sockets:
            sock.settimeout(0)
            self._loop.add_reader(sock.fileno(), self._readable, sock)

    def close(self) -> None:
        """Stop; queries under way stay without an answer."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets = ()
        for asked in list(self._asked):
            self._forget(asked)

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_PER_WAKE):
            try:
                data, ancillary, _, peer = sock.recvmsg(_DATAGRAM_MAX, socket.CMSG_SPACE(_PKTINFO_6.size) * 2)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier answer
            self._query(sock, data, peer, _from_where_asked(ancillary))

    def _query(self, sock: socket.socket, data: bytes, peer: _Peer, ancillary: _Ancillary) -> None:
        if not is_query(data):
            self.counters["dropped"] += 1
            return
        reply = reply_to(data, self._allocator, self._intercepted, self._resolvers.search())
        if reply is not None:
            self.counters["answered"] += 1
            self._send(sock, reply, peer, ancillary)
            return
        asked = _Asked(data=data, sock=sock, peer=peer, ancillary=ancillary, servers=list(self._resolvers.servers()))
        if len(self._asked) >= _PENDING_MAX:
            asked.servers.clear()
        self._asked.add(asked)
        self._next(asked)

    def _next(self, asked: _Asked) -> None:
        """Ask the next resolver; when none is left, say so."""
        self._hang_up(asked)
        while asked.servers:
            upstream = self._reach(asked.servers.pop(0), asked.data)
            if upstream is None:
                continue
            asked.upstream = upstream
            self._loop.add_reader(upstream.fileno(), self._answered, asked)
            asked.timer = self._loop.call_later(self._timeout_s, self._next, asked)
            return
        self._asked.discard(asked)
        self.counters["failed"] += 1
        self._send(asked.sock, server_failure(asked.data), asked.peer, asked.ancillary)

    def _reach(self, server: str, data: bytes) -> socket.socket | None:
        """Send a query from a socket of its own: its port is the one thing a forger can't know."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        try:
            upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError:
            return None
        try:
            upstream.connect((server, self._port))
            upstream.send(data)
        except OSError:
            upstream.close()
            return None
        return upstream

    def _answered(self, asked: _Asked) -> None:
        if asked.upstream is None:
            return
        try:
            reply = asked.upstream.recv(_DATAGRAM_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._next(asked)  # nobody listens there
            return
        if reply[:2] != asked.data[:2] or is_query(reply):
            return
        self._forget(asked)
        self.counters["forwarded"] += 1
        self._send(asked.sock, reply, asked.peer, asked.ancillary)

    def _forget(self, asked: _Asked) -> None:
        self._asked.discard(asked)
        self._hang_up(asked)

    def _hang_up(self, asked: _Asked) -> None:
        if asked.timer is not None:
            asked.timer.cancel()
            asked.timer = None
        if asked.upstream is not None:
            self._loop.remove_reader(asked.upstream.fileno())
            asked.upstream.close()
            asked.upstream = None

    def _send(self, sock: socket.socket, reply: bytes, peer: _Peer, ancillary: _Ancillary) -> None:
        # A client that is gone, or a full buffer: DNS clients ask again.
        with contextlib.suppress(OSError):
            sock.sendmsg([reply], ancillary, 0, peer)


def _from_where_asked(ancillary: _Ancillary) -> _Ancillary:
    """Return the control message that makes a reply leave from the address that the query came to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) == _PKTINFO_4.size:
            _, _, destination = _PKTINFO_4.unpack(data)
            return [(level, kind, _PKTINFO_4.pack(0, destination, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) == _PKTINFO_6.size:
            destination, interface = _PKTINFO_6.unpack(data)
            # Only a link-local address needs its interface; any other may be routed back another way.
            scope = interface if destination[:2] == b"\xfe\x80" else 0
            return [(level, kind, _PKTINFO_6.pack(destination, scope))]
    return []


_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)  # Python 3.12 has no name for it


def bind(host: str, port: int) -> socket.socket:
    """Return a UDP socket that says which address was asked."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
