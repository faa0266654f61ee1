"""Connections to backends: dialled with a deadline, kept for the next request, dropped when the backend ends them."""

import asyncio
import errno
import os
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from kecs.relay.decide import Address, Connection, Dialled, Upstream
from kecs.relay.stream import Owner, Stream

type Connected = Callable[[Stream | OSError], None]

_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EALREADY})


class Dialling:
    """One connect in progress; `cancel` makes it silent."""

    __slots__ = ("_done", "_loop", "_sock", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        done: Dialled,
        *,
        timeout_s: float,
        nodelay: bool = True,
    ) -> None:
        self._loop = loop
        self._done: Dialled | None = done
        self._sock: socket.socket | None = None
        self._timer = loop.call_later(timeout_s, self._finish, TimeoutError(errno.ETIMEDOUT, "connection timed out"))
        try:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            if nodelay:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self._sock.connect_ex(address)
        except OSError as error:
            loop.call_soon(self._finish, error)
            return
        if code in _IN_PROGRESS:
            loop.add_writer(self._sock.fileno(), self._connected)
        else:
            loop.call_soon(self._finish, OSError(code, os.strerror(code)) if code else None)

    def _connected(self) -> None:
        if self._sock is None:
            return
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._finish(OSError(code, os.strerror(code)) if code else None)

    def _finish(self, error: OSError | None) -> None:
        done, sock = self._done, self._sock
        if done is None:
            return
        self.cancel(close=error is not None)
        done(error if error is not None or sock is None else sock)  # type: ignore[arg-type] # error without socket only

    def cancel(self, *, close: bool = True) -> None:
        """Forget about it."""
        self._done = None
        self._timer.cancel()
        if self._sock is not None:
            self._loop.remove_writer(self._sock.fileno())
            if close:
                self._sock.close()
            self._sock = None


def default_dial(loop: asyncio.AbstractEventLoop, *, timeout_s: float) -> Callable[[Connection, Dialled], None]:
    """Return a `Dial` that connects to the original destination."""

    def dial(connection: Connection, done: Dialled) -> None:
        Dialling(loop, connection.destination, done, timeout_s=timeout_s)

    return dial


class _Idle:
    """Owns a stream nobody uses: anything that happens on it means that it is over."""

    __slots__ = ("_pool",)

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool

    def received(self, stream: Stream, data: bytes) -> bool:  # noqa: ARG002 - the protocol's
        self._pool.forget(stream)
        return False

    def ended(self, stream: Stream) -> None:
        self._pool.forget(stream)

    def lost(self, stream: Stream, error: OSError) -> None:  # noqa: ARG002 - the protocol's
        self._pool.forget(stream)

    def drained(self, stream: Stream) -> None:
        """Nothing was being sent."""


class _Handshake:
    """A TLS handshake with a backend, on a connected socket."""

    __slots__ = ("_done", "_loop", "_sock", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: ssl.SSLSocket,
        done: Callable[[OSError | None], None],
        timeout_s: float,
    ) -> None:
        self._loop, self._sock, self._done = loop, sock, done
        self._timer = loop.call_later(timeout_s, self._end, TimeoutError(errno.ETIMEDOUT, "TLS handshake timed out"))
        self._step()

    def _step(self) -> None:
        descriptor = self._sock.fileno()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(descriptor, self._step)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(descriptor, self._step)
        except OSError as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: OSError | None) -> None:
        self._timer.cancel()
        if error is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
        self._done(error)


class Connecting:
    """Resolve, connect, and speak TLS where asked; then call back once, unless cancelled."""

    __slots__ = ("_addresses", "_dialling", "_done", "_loop", "_owner", "_timeout_s", "_timer", "_tls", "_upstream")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        upstream: Upstream,
        done: Connected,
        *,
        owner: Owner,
        timeout_s: float,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self._loop, self._upstream, self._owner = loop, upstream, owner
        self._done: Connected | None = done
        self._timeout_s, self._tls = timeout_s, tls
        self._dialling: Dialling | None = None
        self._addresses: list[Address] = []
        self._timer: asyncio.TimerHandle | None = None
        if _is_address(upstream.host):
            self._addresses = [Address(upstream.host, upstream.port)]
            self._next()
        else:  # a name: the resolver blocks, so it is asked on a thread
            query = loop.run_in_executor(
                None, lambda: socket.getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
            )
            query.add_done_callback(self._resolved)
            late = TimeoutError(errno.ETIMEDOUT, f"the name {upstream.host} was not resolved in time")
            self._timer = loop.call_later(timeout_s, self._finish, late)

    def cancel(self) -> None:
        """Forget about it."""
        self._done = None
        if self._dialling is not None:
            self._dialling.cancel()

    def _resolved(self, query: "asyncio.Future[list[tuple[Any, ...]]]") -> None:
        if self._timer is not None:
            self._timer.cancel()
        if query.cancelled() or self._done is None:
            return
        error = query.exception()
        if error is not None:
            self._finish(OSError(errno.EHOSTUNREACH, f"the name {self._upstream.host} does not resolve: {error}"))
            return
        self._addresses = [Address(str(found[4][0]), self._upstream.port) for found in query.result()]
        self._next()

    def _next(self) -> None:
        address = self._addresses.pop(0)
        self._dialling = Dialling(self._loop, address, self._connected, timeout_s=self._timeout_s)

    def _connected(self, result: socket.socket | OSError) -> None:
        if isinstance(result, OSError):
            if self._addresses and self._done is not None:
                self._next()
            else:
                self._finish(result)
        elif self._upstream.tls_name:
            self._secure(result)
        else:
            self._finish(Stream(self._loop, result, self._owner))

    def _secure(self, sock: socket.socket) -> None:
        name = self._upstream.tls_name
        try:
            name.encode("idna")  # wrap_socket would find out too late, and on Python 3.12 lose the socket
            wrapped = self._tls().wrap_socket(
                sock, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except (OSError, ValueError) as error:  # it was reset meanwhile, or the name is none
            sock.close()
            self._finish(OSError(errno.EPROTO, f"TLS can't be spoken with {name}: {error}"))
            return

        def finished(error: OSError | None) -> None:
            self._finish(error if error is not None else Stream(self._loop, wrapped, self._owner))

        _Handshake(self._loop, wrapped, finished, self._timeout_s)

    def _finish(self, result: Stream | OSError) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(result)
        elif isinstance(result, Stream):
            result.close()


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


class Pool:
    """Idle connections by upstream, the newest first."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        kept: int,
        kept_s: float,
        timeout_s: float,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._loop = loop
        self._kept = kept
        self._kept_s = kept_s
        self._timeout_s = timeout_s
        self._idle: defaultdict[Upstream, deque[tuple[Stream, float]]] = defaultdict(deque)
        self._owner = _Idle(self)
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self.waiting = 0
        """Requests on their way that have no whole answer yet; sessions count them."""

    def idle(self, upstream: Upstream) -> Stream | None:
        """Return a connection that was used before, or None."""
        streams = self._idle.get(upstream)
        while streams:
            stream, _ = streams.pop()
            # what a backend has said unasked (408 to idleness, more than it announced) must not answer this request
            if not stream.closed and not stream.eof and not stream.unread():
                return stream
            stream.close()
        return None

    def put(self, upstream: Upstream, stream: Stream) -> None:
        """Keep a connection for the next request."""
        streams = self._idle[upstream]
        if stream.closed or stream.eof or stream.buffered or len(streams) >= self._kept:
            stream.close()
            return
        stream.owner = self._owner
        stream.resume()
        streams.append((stream, self._loop.time()))

    def forget(self, stream: Stream) -> None:
        """Drop a connection that its backend ended."""
        stream.close()
        for streams in self._idle.values():
            for kept in streams:
                if kept[0] is stream:
                    streams.remove(kept)
                    return

    def prune(self, now: float) -> None:
        """Close what nobody has used for long: a firewall on the way may have forgotten it by now."""
        for streams in self._idle.values():
            while streams and now - streams[0][1] > self._kept_s:
                streams.popleft()[0].close()

    def dial(self, upstream: Upstream, done: Connected) -> "Connecting":
        """Connect anew. The stream that `done` gets has no owner yet and does not read yet."""
        return Connecting(self._loop, upstream, done, owner=self._owner, timeout_s=self._timeout_s, tls=self._context)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
            # an answer that ends with its connection is whole only behind close_notify (RFC 9112 section 9.8)
            self._tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return self._tls

    def close(self) -> None:
        """Close all idle connections."""
        for streams in self._idle.values():
            for stream, _ in streams:
                stream.close()
        self._idle.clear()
