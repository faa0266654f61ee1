"""Plays of a client and a backend, played twice through a relay: the ordinary way, and with plans that are warm."""

import contextlib
import fcntl
import re
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from plans_lab import MARK, Decision, Rewriting
from relay_lab import PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.aws.head import Answer, ResponseHead
from kecs.relay.decide import Exchange, Forward, Same, Upstream
from kecs.relay.relay import RelayConfig
from kecs.relay.session import Session

HOST = b"Host: s3.amazonaws.com\r\n"
GET = b"GET /b/%b HTTP/1.1\r\n" + HOST + b"X-Amz-Date: d\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
CLOSE = GET.replace(b"X-Amz", b"Connection: close\r\nX-Amz")
PUT = b"PUT /b/%b HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\nX-Amz-Date: d\r\n\r\n"
POST = PUT.replace(b"PUT", b"POST")
OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Id: one\r\nContent-Length: 2\r\n\r\nok"
WARM = 16
"""Requests of a kind until its plan, and its answer's, are made and used."""
FAR_S = 1e6
DECISION = Decision(prefix=b"/p", dropped=frozenset({b"x-amz-date"}))
REWRITING = Rewriting(dropped=frozenset({b"server"}), added=((b"X-Long", MARK), (b"Server", b"AmazonS3")))

type Act = Callable[["Stage", socket.socket], bool]
"""What a backend does for a request it has read; whether it keeps the connection."""
type Record = tuple[int, int, int, str, bytes]
"""Status, bytes of the request's and of the response's body, reason, request id."""


@dataclass(kw_only=True)
class Watched(Script):
    """A decider that rewrites heads, and keeps what was noted in one form, whichever way an exchange went."""

    noted: list[Record] = field(default_factory=list)
    faulty: bool = False
    """It raises when it is to take note."""
    mad: bool = False
    """It raises when it is to decide."""

    def plan(self) -> None:
        """Let exchanges be planned."""
        self.sames = self._same

    def _same(self, exchange: Exchange, forward: Forward) -> Same:
        del forward
        return replace(DECISION.same(exchange.head, REWRITING.same), note=self._note)

    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        """Decide as plans do."""
        if self.mad:
            raise ValueError("mad")
        self.shown.append(body)
        self.wholes.append(exchange.body_whole)
        exchange.context = b""
        return Forward(upstream=self.upstream, head=DECISION.forward(exchange.head), context=b"")

    def response(self, exchange: Exchange, head: ResponseHead) -> ResponseHead:
        """Rewrite as plans do."""
        given, exchange.context = REWRITING.given(head)
        return given

    def record(self, exchange: Exchange) -> None:
        """Keep what happened."""
        self.exchanges.append(exchange)
        self._keep(exchange.status, exchange.request_bytes, exchange.response_bytes, exchange.reason, exchange.context)
        assert exchange.started <= exchange.ended

    def _note(self, started: float, ended: float, status: int, sent: int, got: int, identity: bytes) -> None:  # noqa: PLR0917 - the protocol's
        self._keep(status, sent, got, "", identity)
        assert started <= ended

    def _keep(self, *told: object) -> None:
        with self.changed:
            self.noted.append(told)  # type: ignore[arg-type]  # as both call it
            self.changed.notify_all()
        if self.faulty:
            raise ValueError("faulty")


class Stage:
    """Where a play is played: the lab, the client's socket, the backend's acts."""

    def __init__(self, acts: tuple[Act, ...]) -> None:
        self._acts = acts
        self.seen: list[bytes] = []
        """Whole requests that the backend has read, but for the warming ones."""
        self._changed = threading.Condition()
        self._held, self._halved = threading.Event(), threading.Event()
        self._acting = 0
        self._kept: list[socket.socket] = []
        self.lab: Lab
        self.script: Watched
        self.sock: socket.socket
        self.got = b""
        self.waiting = -1
        self.before: dict[str, int] = {}

    # the backend

    def serve(self, sock: socket.socket) -> None:
        """Answer requests as the play says; the last act is for all that follow."""
        held = bytearray()
        self._kept.append(sock)
        while head := read_head(sock, held):
            if b"100-continue" in head:
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int((re.search(rb"Content-Length: ([0-9]+)", head) or [b"", b"0"])[1])
            body = bytes(held[:length])
            del held[:length]
            body += read_exactly(sock, length - len(body))
            if len(body) < length:
                return
            if b"/warm" in head:
                sock.sendall(OK.removesuffix(b"ok") if head.startswith(b"HEAD") else OK)
                continue
            with self._changed:
                number = len(self.seen)
                self.seen.append(head + body)
                self._acting += 1
                self._changed.notify_all()
            keeps = self._acts[min(number, len(self._acts) - 1)](self, sock)
            with self._changed:
                self._acting -= 1
                self._changed.notify_all()
            if not keeps:
                return

    def release(self) -> None:
        """Let acts that wait go on."""
        self._held.set()

    def held(self) -> None:
        """Wait until the client's side lets the backend go on."""
        assert self._held.wait(PATIENCE_S)

    def halved(self) -> None:
        """Tell that half an answer was sent, and read by the relay."""
        self._halved.set()

    def wait_halved(self) -> None:
        """Wait until half an answer was sent, and read by the relay."""
        assert self._halved.wait(PATIENCE_S)

    def end_kept(self) -> None:
        """Send the backend's end on all its connections."""
        for sock in self._kept:
            with contextlib.suppress(OSError):  # some have ended
                sock.shutdown(socket.SHUT_RDWR)

    # the client

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each read before the next is sent."""
        for place, piece in enumerate(pieces):
            if place:
                self.settle(self.sock)
            self.sock.sendall(piece)

    def wait_seen(self, count: int) -> None:
        """Wait until the backend has read so many requests."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, PATIENCE_S), self.seen

    def wait_noted(self, count: int) -> None:
        """Wait until so many exchanges have ended."""
        self.script.wait(lambda script: len(script.noted) >= count)

    def wait_acted(self) -> None:
        """Wait until the backend does nothing any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._acting, PATIENCE_S)

    def settle(self, sock: socket.socket) -> None:
        """Wait until the relay has read what was sent."""
        if unsent(sock):
            until(lambda: self.lab.call(lambda: self._has_all(sock)))
        for _ in range(3):
            self.lab.call(lambda: None)

    def expire(self) -> None:
        """Let all deadlines of sessions pass."""
        now = self.lab.loop.time() + FAR_S
        self._each(lambda session: session.check(now))

    def tick(self) -> None:
        """Let sessions look at the time, of which little has passed."""
        now = self.lab.loop.time()
        self._each(lambda session: session.check(now))

    def slip(self, sock: socket.socket, piece: bytes) -> None:
        """Send a piece, and let sessions look at the time before they have read it."""

        def look() -> None:
            sock.sendall(piece)
            until(lambda: self._has_all(sock))
            for session in list(self.lab.relay._sessions):
                session.check(self.lab.loop.time())

        self.lab.call(look)

    def in_one(self, data: bytes) -> None:
        """Let the session read this in one go, however much it is."""

        def read(session: Session) -> None:
            session.received(session._stream, data)

        self._each(read)

    def drained(self) -> None:
        """Tell sessions that their clients have taken what was buffered."""
        self._each(lambda session: session.drained(session._stream))

    def evict(self) -> None:
        """Make room."""
        self._each(lambda session: session.abort("evicted"))

    def drain(self) -> None:
        """Let sessions end as in a drain."""
        self._each(Session.finish)

    def _has_all(self, sock: socket.socket) -> bool:
        """Whether the relay's kernel has what was sent; it acknowledges now, not in 40 ms with something to send."""
        for session in self.lab.relay._sessions:
            for holder in (session, session._fast, session._transfer):
                stream = None if holder is None else holder._stream
                if stream is not None and not stream.closed:
                    stream._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return unsent(sock) == 0

    def _each(self, act: Callable[[Session], None]) -> None:
        def act_on_all() -> None:
            for session in list(self.lab.relay._sessions):
                act(session)

        self.lab.call(act_on_all)

    def shut(self) -> None:
        """Send the client's end."""
        self.sock.shutdown(socket.SHUT_WR)

    def counted(self) -> dict[str, int]:
        """Return what was counted since the play began."""
        return {name: count - self.before.get(name, 0) for name, count in self.lab.relay.counters.items()}

    def reset(self) -> None:
        """Reset the client's connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def unsent(sock: socket.socket) -> int:
    """Say how many bytes the peer's kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]  # type: ignore[no-any-return]


def says(*pieces: bytes, keeps: bool = True) -> Act:
    """Answer in these pieces, each read before the next is sent."""

    def act(stage: Stage, sock: socket.socket) -> bool:
        for place, piece in enumerate(pieces):
            if place:
                stage.settle(sock)
            sock.sendall(piece)
        return keeps

    return act


def breaks(first: bytes = b"") -> Act:
    """Say this much, then reset the connection."""

    def act(stage: Stage, sock: socket.socket) -> bool:
        sock.sendall(first)
        if first:
            stage.settle(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return act


def waits(then: bytes = b"") -> Act:
    """Answer once the client's side says so; say nothing for nothing, and end."""

    def act(stage: Stage, sock: socket.socket) -> bool:
        stage.held()
        with contextlib.suppress(OSError):  # the relay may have left
            sock.sendall(then)
        return bool(then)

    return act


def halves(first: bytes, rest: bytes = b"") -> Act:
    """Say this much, and the rest once the client's side says so; for none, end."""

    def act(stage: Stage, sock: socket.socket) -> bool:
        sock.sendall(first)
        stage.settle(sock)
        stage.halved()
        return waits(rest)(stage, sock)

    return act


def waits_and_breaks(stage: Stage, sock: socket.socket) -> bool:
    """Reset the connection once the client's side says so."""
    stage.held()
    return breaks()(stage, sock)


@dataclass(frozen=True, kw_only=True)
class Play:
    """What a client does, and what the backend does about each request."""

    client: Callable[[Stage], None]
    acts: tuple[Act, ...] = (says(OK),)
    warm: tuple[bytes, ...] = (GET,)
    """Forms of requests for which there are plans."""
    planned: int = 1
    """How many requests go the short way, at least to begin with."""
    wants: int = 0
    """How much of a body the decider asks for."""
    config: RelayConfig | None = None
    differs: frozenset[str] = frozenset()
    """Counters that chance decides on."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that can be seen of a play."""

    got: bytes
    seen: list[bytes]
    noted: list[Record]
    counters: dict[str, int]
    waiting: int


def warm(stage: Stage, forms: tuple[bytes, ...]) -> None:
    """Ask as often as it takes for plans to be made and used."""
    for form in forms:
        sized = b"%d" in form
        raw = form % ((b"warm", 0 if b"empty" in form else 2) if sized else b"warm")
        body = b"ab" if sized and b"empty" not in form else b""
        left, sock = WARM, stage.lab.connect()
        while left:
            sock.sendall(raw + body)
            held = bytearray()
            assert b" 200 OK" in read_head(sock, held)
            count = 0 if form.startswith(b"HEAD") else 2
            assert len(read_exactly(sock, count, held)) == count
            left -= 1
            if left and (b"close" in form or b"HTTP/1.0" in form):
                assert read_all(sock) == b""
                sock.close()
                sock = stage.lab.connect()
        sock.close()
    until(lambda: stage.lab.relay.open == 0)


@contextlib.contextmanager
def staged(play: Play, *, plans: bool) -> Iterator[Stage]:
    """Set the stage, warm."""
    stage = Stage(play.acts)
    with server(stage.serve) as address:
        script = stage.script = Watched(upstream=Upstream(host=address.host, port=address.port), wants=play.wants)
        if plans:
            script.plan()
        with Lab(script, play.config) as stage.lab:
            warm(stage, play.warm)
            script.noted.clear()
            script.shown.clear()
            script.exchanges.clear()
            stage.before = dict(stage.lab.relay.counters)
            try:
                with stage.lab.connect() as stage.sock:
                    yield stage
            finally:
                stage.release()
            stage.wait_acted()
            until(lambda: stage.lab.relay.open == 0)
            stage.waiting = stage.lab.relay.waiting


def perform(play: Play, *, plans: bool) -> tuple[Outcome, int]:
    """Play it; return what can be seen of it, and how many requests went the short way."""
    with staged(play, plans=plans) as stage:
        play.client(stage)
        if stage.sock.fileno() >= 0:
            stage.got += read_all(stage.sock)
    counted = stage.counted()
    planned = counted.pop("requests_planned", 0)
    kept = {name: count for name, count in counted.items() if count and name not in play.differs}
    return Outcome(
        got=stage.got, seen=stage.seen, noted=stage.script.noted, counters=kept, waiting=stage.waiting
    ), planned
