"""A connection from accept until somebody carries it: peek, decide, and then terminate, serve, pass or refuse."""

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from kecs.relay import peek
from kecs.relay.acceptor import SHORT
from kecs.relay.config import RelayConfig
from kecs.relay.contexts import BusyError, Contexts
from kecs.relay.decide import (
    Address,
    Connection,
    Decider,
    Dial,
    Give,
    Handover,
    Look,
    Pass,
    Peeked,
    Refuse,
    Serve,
    Terminate,
    Verdict,
    Wire,
)
from kecs.relay.occupancy import Limit
from kecs.relay.tls import TlsSocket, serve_tls
from kecs.relay.upstream import Dialling

_RESET: Final = struct.pack("ii", 1, 0)
_BEGINNING: Final = 32
_INCOMPLETE: Final = {Wire.TLS: "tls_hello_incomplete", Wire.HTTP: "http_head_incomplete"}
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_HTTPS: Final = 443
_WAITED: Final = {_HTTPS: Limit.HANDSHAKE, 80: Limit.HEAD}
_SILENT: Final = Peeked(wire=Wire.SILENT)


class Floor(Protocol):
    """Who takes over what an arrival has become; the relay."""

    loop: asyncio.AbstractEventLoop
    decider: Decider
    config: RelayConfig
    dial: Dial
    counters: dict[str, int]
    contexts: Contexts

    def serve(self, sock: socket.socket | TlsSocket, connection: Connection, name: str) -> None:
        """Serve HTTP/1.1 on a plain or TLS socket."""

    def tunnel(self, client: socket.socket, server: socket.socket, arrival: "Arrival") -> None:
        """Join two sockets."""

    def crashed(self, fault: Exception) -> None:
        """Report a fault of ours."""

    def gone(self, arrival: "Arrival", reason: str) -> None:
        """Note the end of an arrival that nobody took over."""


class Arrival:
    """See the module. It owns the client's socket until somebody takes it over."""

    __slots__ = (
        "_begun", "_deadline", "_decided", "_fd", "_floor", "_handshake", "_look", "_low_water", "_over", "_server",
        "_sock", "_stalled", "_timer", "_watching", "connection", "limit", "peeked", "proxied", "verdict",
    )  # fmt: skip

    def __init__(self, floor: Floor, sock: socket.socket, connection: Connection) -> None:
        self._floor = floor
        self._sock = sock
        self._fd = sock.fileno()
        self.connection = connection
        self.peeked = Peeked(wire=Wire.SILENT)
        self.verdict: Verdict = Pass()
        self.limit: Limit | None = None
        """Not to be carried: it is told why not where it speaks HTTP, and reset where it does not."""
        self.proxied = False
        """The client has been told that a proxy's CONNECT has succeeded."""
        self._look = Look.PEEK
        self._server: socket.socket | None = None
        self._handshake: TlsSocket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        """Of the handshake; 0 before it."""
        self._low_water = 1
        self._watching = False
        self._stalled = False
        """The handshake waits until more can be sent."""
        self._over = False
        self._begun = False
        """The client was given more time for the rest of its first message."""
        self._decided = False
        """The decider was asked."""

    def start(self) -> None:
        """Begin."""
        self._guard(self._start)

    def _guard(self, step: Callable[..., None], *values: object) -> None:
        """Run a callback: what it raises ends this connection, not the loop's others."""
        try:
            step(*values)
        except Exception as fault:  # noqa: BLE001 - of the decider: whatever it is, it is ours
            self._floor.crashed(fault)
            self.abort("internal_error")

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._floor.loop.call_later(seconds, self._guard, self._silent)

    def _start(self) -> None:
        self._look = self._floor.decider.look(self.connection)
        if self._look is Look.SERVE:
            self._take_over()
            self._floor.serve(self._sock, self.connection, "")
        elif self.limit is None and self._look is Look.DIAL:
            self._floor.dial(self.connection, self._dialled)
        else:
            self._peek()

    def check(self, now: float) -> None:
        """Act on the handshake's deadline, if it has passed."""
        if self._deadline and now >= self._deadline:
            self.abort(Limit.HANDSHAKE)

    def abort(self, reason: str, *, reset: bool = True) -> None:
        """Reset the client, or end in order: an alert of TLS may be on its way to it."""
        if self._over:
            return
        self._take_over()
        for sock in (self._server, self._sock):
            if sock is not None:
                if reset:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
        self._floor.gone(self, reason)

    # the first bytes

    def _peek(self) -> None:
        try:
            data = self._sock.recv(peek.LOOKED_AT_MOST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._watch()
            return
        except OSError:
            self.abort("client_reset")
            return
        seen = peek.look(data)
        if seen is None and data and len(data) >= self._low_water:
            if self._low_water == 1 and self._server is not None:
                self._arm(self._floor.config.peek_timeout_s)
            # asked to be woken for the same bytes, epoll would spin: it is to wait for more than there is
            self._low_water = len(data) + 1
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._low_water)
            self._watch()
        elif not data and self._server is None:
            self.abort("client_closed")  # without a word: there is nothing to carry anywhere
        elif seen is None or (seen.wire is Wire.OTHER and len(data) >= peek.LOOKED_AT_MOST):
            self._incomplete(data)  # no more comes, or more than is looked at
        else:
            self._decide(seen)

    def _watch(self) -> None:
        if self._timer is None:  # most have said it all when they are accepted, and need no timer
            self._arm(self._patience())
        if not self._watching:
            self._watching = True
            self._floor.loop.add_reader(self._fd, self._guard, self._peek)

    def _patience(self) -> float:
        """Return the seconds that a client is waited for.

        A busy one connects and then reads its roots for seconds; where nobody else can speak, it is given them.
        """
        config = self._floor.config
        match self._waited():
            case Limit.HANDSHAKE:
                return config.handshake_timeout_s
            case Limit.HEAD:
                return config.head_timeout_s
        return config.peek_timeout_s

    def _waited(self) -> Limit | None:
        """Return what a client's silence is, where it would speak TLS or HTTP and nobody else speaks."""
        return _WAITED.get(self.connection.destination.port) if self._look is Look.WAIT else None

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._floor.loop.remove_reader(self._fd)

    def _silent(self) -> None:
        """The peek time is over. Who has begun to speak is given the time that a request's head has, once.

        Who has not may wait for the server to speak, or be slow: both are listened to, whoever is the first.
        """
        self._timer = None
        try:
            data = self._sock.recv(_BEGINNING, socket.MSG_PEEK)
        except OSError:
            data = b""
        if self._unfinished(data) and not self._begun and not self.proxied:
            self._begun = True
            self._arm(self._floor.config.head_timeout_s)
        elif not data and (waited := self._waited()) is not None:
            self.abort(waited)
        elif not data and self._is_dialled_late():
            self._unwatch()
            self._floor.dial(self.connection, self._dialled)
        else:
            self._incomplete(data)

    def _is_dialled_late(self) -> bool:
        undecided = self._look is Look.PEEK and not self._decided
        return undecided and self._server is None and self.limit is None

    def _unfinished(self, data: bytes) -> str:
        """Say why this beginning is not passed on: what comes behind it may be a call, which must not get out.

        On a connection where the destination may speak first, only TLS is taken for what it looks like.
        """
        wire = peek.begun(data)
        return _INCOMPLETE.get(wire, "") if wire is Wire.TLS or self._look is not Look.DIAL else ""

    def _incomplete(self, data: bytes) -> None:
        """Decide without knowing how it goes on."""
        reason = self._unfinished(data)
        if reason:
            self.peeked = Peeked(wire=peek.begun(data))
            self.verdict = Refuse(reason=reason)
            self.abort(reason)
        else:
            self._decide(Peeked(wire=Wire.OTHER) if data else _SILENT)

    # the destination speaks or is spoken to first

    def _dialled(self, result: socket.socket | OSError) -> None:
        self._guard(self._use, result)

    def _use(self, result: socket.socket | OSError) -> None:
        if self._over:
            if isinstance(result, socket.socket):
                result.close()
        elif isinstance(result, OSError):
            self.abort(_dial_reason(result))
        elif self._decided:
            self._join(result)
        else:
            self._server = result
            self._floor.loop.add_reader(result.fileno(), self._guard, self._server_first)
            self._arm(self._floor.config.tunnel_idle_timeout_s)
            self._peek()

    def _server_first(self) -> None:
        """The destination has spoken, or ended: there is nothing to intercept."""
        self._decide(_SILENT)

    # the verdict

    def _decide(self, peeked: Peeked) -> None:
        if self._over:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._server is not None:
            self._floor.loop.remove_reader(self._server.fileno())
        if self._low_water > 1:
            self._low_water = 1
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self.peeked = peeked
        self._decided = True
        self._look = Look.PEEK
        self.verdict = self._allowed(self._floor.decider.connection(self.connection, peeked))
        server, self._server = self._server, None
        if server is not None and not isinstance(self.verdict, Pass):
            server.close()
            server = None
        # to be woken for bytes that nobody takes yet would be to spin; who takes them at once keeps the watch
        if server is None and not isinstance(self.verdict, Serve | Terminate):
            self._unwatch()
        self._act(self.verdict, server)

    def _allowed(self, verdict: Verdict) -> Verdict:
        """Return the verdict; above a limit only who can be told so is served."""
        over = self.limit is not None and isinstance(verdict, Pass | Handover | Give)
        return Refuse(reason=self.limit or "") if over else verdict

    def _act(self, verdict: Verdict, server: socket.socket | None) -> None:
        match verdict:
            case Pass():
                if self.proxied:
                    self.abort("proxied_name_changed")  # the CONNECT is spent, so there is no way to pass it on
                elif server is not None:
                    self._join(server)
                else:
                    self._floor.dial(self.connection, self._dialled)
            case Terminate(name=name):
                self._terminate(name)
            case Serve():
                self._serve()
            case Handover(address=address):
                Dialling(self._floor.loop, address, self._dialled, timeout_s=self._floor.config.connect_timeout_s)
            case Give(take=take):
                self._give(take)
            case Refuse(reason=reason):
                self.abort(reason)

    def _give(self, take: Callable[[socket.socket], bool]) -> None:
        if take(self._sock):
            self._take_over()
            self._floor.gone(self, "given")
        else:
            self.abort("not_taken")

    def _join(self, server: socket.socket) -> None:
        self._take_over(watched=not isinstance(self.verdict, Handover))
        self._floor.tunnel(self._sock, server, self)

    def _serve(self) -> None:
        if self.peeked.wire is not Wire.CONNECT:
            self._take_over(watched=True)
            self._floor.serve(self._sock, self.connection, self.peeked.name)
            return
        if self.proxied:
            self.abort("proxied_twice")
            return
        try:
            head = self._sock.recv(peek.LOOKED_AT_MOST, socket.MSG_PEEK)
            self._sock.recv(head.find(b"\r\n\r\n") + 4)
            self._sock.send(_ESTABLISHED)
        except OSError:
            self.abort("client_reset")
            return
        self.proxied = True
        # what comes now is meant for whom CONNECT named, not for the proxy
        named = Address(self.peeked.name, self.peeked.port or _HTTPS)
        self.connection = replace(self.connection, destination=named)
        # nobody else can be meant, so the client is given the time that a request's head has
        self._arm(self._floor.config.head_timeout_s)
        self._peek()

    def _take_over(self, *, watched: bool = False) -> None:
        """Stop to watch: the socket is somebody else's now.

        Who reads it at once takes the place of the watch, which is `watched` on: anew it costs four system calls.
        """
        self._over = True
        if not watched:
            self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stalled:
            self._floor.loop.remove_writer(self._fd)
        if self._server is not None:
            self._floor.loop.remove_reader(self._server.fileno())

    # TLS

    def _terminate(self, name: str) -> None:
        floor = self._floor
        self._deadline = floor.loop.time() + floor.config.handshake_timeout_s
        try:
            context = floor.contexts.obtain(name, partial(self._leaf, name), floor.loop)
        except BusyError:
            self.abort("tls_setup_busy")
            return
        if context is None:
            self._unwatch()
        else:
            self._shake(name, context)

    def _leaf(self, name: str, made: ssl.SSLContext | Exception) -> None:
        """Go on with a leaf that had to be made first."""
        if self._over:
            return
        if not isinstance(made, Exception):
            self._guard(self._shake, name, made)
        elif isinstance(made, OSError) and made.errno in SHORT:
            self.abort(Limit.DESCRIPTORS)
        else:
            self._floor.loop.call_exception_handler({"message": f"no TLS context for {name}", "exception": made})
            self.abort("tls_setup_failed")

    def _shake(self, name: str, context: ssl.SSLContext) -> None:
        try:
            self._handshake = serve_tls(context, self._sock)
        except (OSError, ValueError):  # it is connected no more
            self.abort("client_reset")
            return
        self._sock = self._handshake.plain
        self._step(name)

    def _step(self, name: str) -> None:
        tls = self._handshake
        if tls is None or self._over:
            return
        loop = self._floor.loop
        if self._stalled:
            self._stalled = False
            loop.remove_writer(self._fd)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._watching = True
            loop.add_reader(self._fd, self._step, name)
        except ssl.SSLWantWriteError:
            self._unwatch()
            self._stalled = True
            loop.add_writer(self._fd, self._step, name)
        except OSError as error:
            self._floor.counters["tls_handshakes_failed"] += 1
            self.abort(_tls_reason(error), reset=False)
        else:
            self._take_over(watched=True)
            self._floor.counters["tls_handshakes"] += 1
            self._floor.counters["tls_resumed"] += tls.resumed
            self._floor.serve(tls, self.connection, name)


_ALERTS: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "tls_alert_unknown_ca",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "tls_alert_certificate_unknown",
    "SSLV3_ALERT_BAD_CERTIFICATE": "tls_alert_bad_certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "tls_alert_unsupported_certificate",
    "NO_SHARED_CIPHER": "tls_no_shared_cipher",
    "UNSUPPORTED_PROTOCOL": "tls_unsupported_protocol",
    "NO_APPLICATION_PROTOCOL": "tls_no_application_protocol",
}


def _tls_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return _ALERTS.get(error.reason, f"tls_{error.reason.lower()}")
    return "tls_client_closed"


_DIAL_REASONS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}


def _dial_reason(error: OSError) -> str:
    if error.errno in SHORT:
        return Limit.DESCRIPTORS
    return f"dial_{_DIAL_REASONS.get(error.errno or 0, 'failed')}"
