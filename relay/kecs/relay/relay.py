"""The relay: listeners, the connections they accept, their deadlines, and a quiet end."""

import asyncio
import resource
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from kecs.relay.acceptor import Acceptor, Listener, OriginalDestination, reset
from kecs.relay.arrival import Arrival
from kecs.relay.config import RelayConfig
from kecs.relay.contexts import Contexts
from kecs.relay.decide import Address, Connection, Decider, Dial, Handover, Refuse, Upstream
from kecs.relay.heap import Heap
from kecs.relay.occupancy import Limit, Occupancy
from kecs.relay.original import client_of, from_getsockname
from kecs.relay.session import Session
from kecs.relay.stream import Stream
from kecs.relay.tls import TlsSocket
from kecs.relay.transfer import Means
from kecs.relay.tunnel import Tunnel
from kecs.relay.upstream import Pool, default_dial

__all__ = ["Drained", "Relay", "RelayConfig"]

_TICK_S: Final = 0.5
_REFUSED: Final[dict[str, Limit]] = {word: word for word in (Limit.DIAL, Limit.HANDSHAKE, Limit.DESCRIPTORS)}
"""Refusals that are limits: they are counted by the limit's own word."""
_REDIRECT: Final = "redirect"
_GIVEN: Final = "given"
_NOWHERE: Final = Address("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What became of connections at the end."""

    open: int
    """Clients' connections when the end began."""
    served: int
    """Connections that came after that."""
    cut: int
    """Connections that were open at the deadline."""


class _Evictable(Protocol):
    def abort(self, reason: str) -> None:
        """End at once."""


@dataclass(slots=True)
class _Passing:
    tunnel: Tunnel
    arrival: Arrival
    moved: float


class Relay:
    """See the module; `decide.py` says what it asks and may be told. All methods belong to the loop's thread."""

    def __init__(
        self,
        decider: Decider,
        *,
        contexts: Contexts,
        config: RelayConfig | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        dial: Dial | None = None,
        upstream_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self.config = config or RelayConfig()
        self.loop = loop or asyncio.get_running_loop()
        self.decider = decider
        self.dial = dial or default_dial(self.loop, timeout_s=self.config.dial_timeout_s)
        self.counters: dict[str, int] = defaultdict(int)
        self.contexts = contexts
        self._pool = Pool(
            self.loop,
            kept=self.config.pool_max,
            kept_s=self.config.pool_idle_timeout_s,
            timeout_s=self.config.connect_timeout_s,
            tls=upstream_tls,
        )
        self._means = Means(
            loop=self.loop, decider=decider, config=self.config, pool=self._pool, counters=self.counters
        )
        self._acceptor = Acceptor(self.loop, self._arrive, counters=self.counters, relieve=self._pool.close)
        self.occupancy = Occupancy(self.config, descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._own: defaultdict[str, dict[int, _Evictable]] = defaultdict(dict)
        """What came from listeners with room of their own, by origin, the oldest first."""
        self._arrivals: dict[int, Arrival] = {}
        self._sessions: dict[Session, Connection] = {}
        self._passing: dict[Tunnel, _Passing] = {}
        self._number = 0
        self._heap = Heap()
        self._draining: asyncio.Event | None = None
        looked_at = (self.config.handshake_timeout_s, self.config.head_timeout_s, self.config.body_timeout_s)
        self._tick = min(_TICK_S, self.config.linger_s / 2, *(time_s / 2 for time_s in looked_at))
        self._timer = self.loop.call_later(self._tick, self._check)

    @property
    def open(self) -> int:
        """How many connections are being carried."""
        return len(self._arrivals) + len(self._sessions) + len(self._passing)

    @property
    def carried(self) -> int:
        """How many of them are clients': those of listeners with room of their own come and go as they like."""
        return self.open - sum(map(len, self._own.values()))

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer."""
        return self._pool.waiting

    def listen(
        self,
        sock: socket.socket,
        *,
        origin: str = _REDIRECT,
        original_destination: OriginalDestination = from_getsockname,
        room: int = 0,
        accepts: int = 64,
    ) -> None:
        """Accept on a listening socket, which is closed at the end.

        With `room` its connections don't count among the clients': there may be so many, and the oldest gives way.
        `accepts` connections are taken in one go; who shares the socket with other processes takes one.
        """
        self._acceptor.add(
            Listener(
                sock=sock,
                address=Address(*sock.getsockname()[:2]),
                origin=origin,
                original_destination=original_destination,
                room=room,
                accepts=accepts,
            )
        )

    def adopt(
        self, sock: socket.socket, *, original_destination: OriginalDestination, address: Address = _NOWHERE
    ) -> None:
        """Carry a connection that another process has accepted; `address` is where that one listens."""
        listener = Listener(sock=sock, address=address, origin=_REDIRECT, original_destination=original_destination)
        self._arrive(sock, listener, None)

    async def drain(self, deadline_s: float, *, quiet_s: float = 0.0) -> Drained:
        """Let requests finish and serve new connections until the deadline, or nothing was open for `quiet_s`.

        Then close everything. A drain that is cancelled has closed nothing yet.
        """
        self._draining = asyncio.Event()
        open_at_first, before = self.carried, self.counters["accepted"]
        for session in list(self._sessions):
            session.finish()
        cut = 0
        try:
            async with asyncio.timeout(deadline_s):
                await self._quiet(self._draining, quiet_s)
        except TimeoutError:
            cut = self.carried
            self.counters[Limit.DRAIN] += cut
        served = self.counters["accepted"] - before
        self.counters["drain_served"] += served
        self.close()
        return Drained(open=open_at_first, served=served, cut=cut)

    async def _quiet(self, ended: asyncio.Event, quiet_s: float) -> None:
        """Wait until nothing was open for so long."""
        while True:
            while self.carried:
                ended.clear()
                await ended.wait()
            seen = self._number
            await asyncio.sleep(quiet_s)
            if seen == self._number and not self.carried:
                return

    def close(self) -> None:
        """Close listeners and connections."""
        self._timer.cancel()
        self._acceptor.close()
        for arrival in list(self._arrivals.values()):
            arrival.abort("closed")
        for session in list(self._sessions):
            session.abort("aborted")
        for tunnel in list(self._passing):
            tunnel.close()
        self._pool.close()

    # accepting

    def _arrive(self, sock: socket.socket, listener: Listener, client: Address | None) -> None:
        sock.settimeout(0)
        self.counters["accepted"] += 1
        try:
            destination = listener.original_destination(sock)
            client = client or client_of(sock)
            is_own = listener.origin == _REDIRECT and listener.is_own(destination)
        except OSError:
            reset(sock)  # the client is gone, nothing was redirected, or there is no descriptor to find out with
            self.counters["no_destination"] += 1
            return
        self._number += 1
        connection = Connection(number=self._number, client=client, destination=destination, origin=listener.origin)
        arrival = Arrival(self, sock, connection)
        if not self._enter(arrival, listener):
            self._turn_away(arrival, sock)
            return
        self._arrivals[connection.number] = arrival
        if is_own:
            arrival.verdict = Refuse(reason="loop")
            arrival.abort("loop")  # nobody wanted to go here but by mistake; dialling it would arrive here again
        else:
            arrival.start()

    def _enter(self, arrival: Arrival, listener: Listener) -> bool:
        """Count a connection in; say whether there is room at least to tell it that there is none."""
        connection = arrival.connection
        if listener.room:
            own = self._own[listener.origin]
            while len(own) >= listener.room:
                self.counters["own_connections_evicted"] += 1
                own[next(iter(own))].abort("evicted")
            own[connection.number] = arrival
            return True
        entry = self.occupancy.enter(connection.number, connection.client.host)
        if entry.limit is not None:
            self.counters[entry.limit] += 1
            arrival.limit = entry.limit
        return entry.answered

    def _turn_away(self, arrival: Arrival, sock: socket.socket) -> None:
        reason = arrival.limit or Limit.CONNECTIONS
        arrival.verdict = Refuse(reason=reason)
        reset(sock)
        self.counters["refused"] += 1
        self._note(arrival, reason, 0, 0)

    def _leave(self, connection: Connection) -> None:
        own = self._own.get(connection.origin)
        if own is not None:
            own.pop(connection.number, None)
        else:
            self.occupancy.leave(connection.number, connection.client.host)

    def reach(self, upstream: Upstream, done: Callable[[OSError | None], None]) -> None:
        """Connect to a backend as for a request, close, and say what went wrong."""

        def connected(result: Stream | OSError) -> None:
            if isinstance(result, OSError):
                done(result)
            else:
                result.close()
                done(None)

        self._pool.dial(upstream, connected)

    # what an arrival becomes

    def serve(self, sock: socket.socket | TlsSocket, connection: Connection, name: str) -> None:
        """Serve HTTP/1.1 on a socket."""
        self._arrivals.pop(connection.number, None)
        if isinstance(sock, TlsSocket):
            connection = replace(connection, secure=True)
        stream = Stream(self.loop, sock, _NOBODY)
        session = Session(self._means, stream, connection, name, self._session_closed)
        self._sessions[session] = connection
        own = self._own.get(connection.origin)
        if own is not None:
            own[connection.number] = session
        else:
            limit = self.occupancy.limit_of(connection.number)
            if limit is not None:
                session.turn_away(limit)
        if self._draining is not None:
            session.closing_fields(keep_alive=False)
        stream.start()

    def tunnel(self, client: socket.socket, server: socket.socket, arrival: Arrival) -> None:
        """Join two sockets."""
        self._arrivals.pop(arrival.connection.number, None)
        self.counters["passed"] += 1
        first = arrival.verdict.first if isinstance(arrival.verdict, Handover) else b""
        tunnel = Tunnel(self.loop, client, server, self._tunnel_closed, first=first)
        self._passing[tunnel] = _Passing(tunnel, arrival, self.loop.time())
        tunnel.start()

    def gone(self, arrival: Arrival, reason: str) -> None:
        """Note the end of an arrival that nobody took over."""
        self._arrivals.pop(arrival.connection.number, None)
        self._leave(arrival.connection)
        if reason == _GIVEN:
            self.counters[_GIVEN] += 1
        else:
            self.counters["refused"] += 1
            self.counters[_REFUSED.get(reason) or f"refused_{reason}"] += 1
        self._note(arrival, reason, 0, 0)

    def _session_closed(self, session: Session, reason: str) -> None:  # noqa: ARG002 - records have said it
        connection = self._sessions.pop(session, None)
        if connection is not None:
            self._leave(connection)
        self._ended()

    def _tunnel_closed(self, tunnel: Tunnel, reason: str) -> None:
        passing = self._passing.pop(tunnel, None)
        if passing is not None:
            arrival = passing.arrival
            self._leave(arrival.connection)
            self.counters["passed_bytes"] += tunnel.up.carried + tunnel.down.carried
            self._note(arrival, reason, tunnel.up.carried, tunnel.down.carried)

    def _note(self, arrival: Arrival, reason: str, sent: int, received: int) -> None:
        try:
            self.decider.closed(arrival.connection, arrival.verdict, arrival.peeked, reason, sent, received)
        except Exception as fault:  # noqa: BLE001 - of the decider: the others go on
            self.crashed(fault)
        self._ended()

    def crashed(self, fault: Exception) -> None:
        """Count a fault of ours, and report it as asyncio does."""
        self.counters["internal_errors"] += 1
        self.loop.call_exception_handler({"message": "a connection ends by a fault of the relay", "exception": fault})

    def _ended(self) -> None:
        if self._draining is not None and not self.carried:
            self._draining.set()

    # time

    def _check(self) -> None:
        """Act on deadlines: one timer for all, since nothing here needs to be exact."""
        self._timer = self.loop.call_later(self._tick, self._check)
        now = self.loop.time()
        for arrival in list(self._arrivals.values()):
            arrival.check(now)
        for session in list(self._sessions):
            session.check(now)
        self._pool.prune(now)
        self._heap.tend(now, self.counters.get("accepted", 0) + self.counters.get("requests", 0))
        for passing in list(self._passing.values()):
            if passing.tunnel.touched:
                passing.tunnel.touched = False
                passing.moved = now
            elif now - passing.moved > self.config.tunnel_idle_timeout_s:
                self.counters[Limit.TUNNEL] += 1
                passing.tunnel.close()


class _Nobody:
    """Owns a stream for the moment before its session does."""

    def received(self, stream: Stream, data: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """Nothing is read yet."""
        return False

    def ended(self, stream: Stream) -> None:
        """Nothing is read yet."""

    def lost(self, stream: Stream, error: OSError) -> None:
        """Nothing is written yet."""

    def drained(self, stream: Stream) -> None:
        """Nothing is written yet."""


_NOBODY: Final = _Nobody()
