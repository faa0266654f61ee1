"""One connected, non-blocking socket on the loop, plain or TLS: reads are pushed to its owner, writes are buffered.

The read watch stays registered while the stream lives, but for back-pressure: changing it per request costs two
system calls each. OpenSSL is called directly on the socket, not through memory buffers.
"""

import asyncio
import contextlib
import fcntl
import select
import socket
import ssl
import struct
import sys
import termios
from collections import deque
from itertools import islice
from typing import Final, Protocol

from kecs.relay.farewell import close_notify
from kecs.relay.tls import TlsSocket

READ_SIZE: Final = 65536
_BULK_SIZE: Final = 262144
"""Read where as much as `READ_SIZE` was there the last time."""
TLS_RECORD: Final = 16384
HIGH_WATER: Final = 262144
LOW_WATER: Final = 65536
_GATHERED: Final = 131072
"""How much of full records of TLS is gathered, before it is sent on in one call."""
_PIECES: Final = 64
"""Far below what one call takes (IOV_MAX, 1024)."""
_READS_PER_WAKE: Final = range(16)
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)
_RESET: Final = struct.pack("ii", 1, 0)
_CLOSE_S: Final = 120.0
"""How long a closed stream tries to send what is buffered, to a peer that does not read."""


_NUMBER: Final = bytearray(4)
_ORDER: Final = sys.byteorder
_FIONREAD: Final = termios.FIONREAD
_ioctl: Final = fcntl.ioctl


def _ask(descriptor: int, what: int) -> int:
    """Ask the kernel for a number; a buffer of our own makes it twice as fast."""
    _ioctl(descriptor, what, _NUMBER, True)  # noqa: FBT003 - ioctl takes no names
    return int.from_bytes(_NUMBER, _ORDER)


class CrashError(OSError):
    """An owner raised what it should not have: a fault of ours, which ends this connection and no other."""


class Owner(Protocol):
    """Whoever gets what a stream receives."""

    def received(self, stream: "Stream", data: bytes) -> bool:
        """Take bytes; say whether they are not enough, and the end, or an error, is to be looked for at once."""

    def ended(self, stream: "Stream") -> None:
        """The peer sends no more (end of file, close_notify)."""

    def lost(self, stream: "Stream", error: OSError) -> None:
        """The connection broke; the stream is closed."""

    def drained(self, stream: "Stream") -> None:
        """What was buffered is below the low water mark, or all sent after `close`."""


class Stream:
    """See the module."""

    __slots__ = (
        "_buffered", "_closing", "_deaf", "_failed", "_fd", "_gathers", "_has_shut", "_loop", "_out", "_paused", "_put",
        "_reading", "_recv", "_shutting", "_size", "_sock", "_ssl", "_unacknowledged", "_writing", "closed", "eof",
        "owner",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket | TlsSocket, owner: Owner) -> None:
        self._loop = loop
        self._sock = sock.plain if isinstance(sock, TlsSocket) else sock
        self._fd = sock.fileno()
        self._ssl = sock if isinstance(sock, ssl.SSLSocket | TlsSocket) else None
        self._recv, self._put = sock.recv, sock.send
        self.owner = owner
        self.closed = False
        self.eof = False
        self._out: deque[memoryview] = deque()
        self._buffered = 0
        self._paused = False
        self._reading = False
        self._writing = False
        self._gathers = False
        self._size = READ_SIZE
        self._closing: asyncio.TimerHandle | None = None
        self._shutting = self._has_shut = False
        self._deaf = False
        self._failed: OSError | None = None
        """Writing has failed; what came before that is still read."""
        self._unacknowledged = 0
        """Bytes of failed writes; after the end, all that `unacknowledged` returns."""

    @property
    def is_tls(self) -> bool:
        """Whether OpenSSL stands in between."""
        return self._ssl is not None

    @property
    def buffered(self) -> int:
        """How many bytes wait to be sent."""
        return self._buffered

    def unacknowledged(self) -> int:
        """Say how many bytes the peer's kernel has not acknowledged (tcp(7), SIOCOUTQ): no program there has read them.

        Right up to the end of the connection, and after it as it was then. With TLS, its own bytes count too.
        """
        if self.closed:
            return self._unacknowledged
        try:
            queued = _ask(self._fd, termios.TIOCOUTQ)
        except OSError:  # no TCP
            queued = 0
        return queued + self._buffered + self._unacknowledged

    def unread(self) -> int:
        """Say how many bytes the kernel holds that nobody has read yet."""
        if self.closed:
            return 0
        _ioctl(self._fd, _FIONREAD, _NUMBER, True)  # noqa: FBT003 - see `_ask`, which a call each time is too much for
        return int.from_bytes(_NUMBER, _ORDER)

    def start(self) -> None:
        """Begin to read.

        After a handshake at once: OpenSSL may hold what came with its end, and a reset that came with it has been told.
        """
        self._watch()
        if self._ssl is not None:
            self._loop.call_soon(self._readable)

    def pause(self) -> None:
        """Stop reading until `resume`: the peer is slowed down by TCP."""
        if not self._paused:
            self._paused = True
            self._unwatch()

    def resume(self) -> None:
        """Go on reading."""
        if self._paused and self._closing is None:
            self._paused = False
            if not self.closed and not self.eof:
                self._watch()
                if self._ssl is not None:  # the kernel does not know of bytes that OpenSSL holds
                    self._loop.call_soon(self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or buffer what the kernel does not take now. `lost` is told later, never from here."""
        if self.closed or self._closing is not None or self._failed is not None:
            return
        size = len(data)
        # a full record of TLS is a piece of something long: with what is read behind it, it goes in one packet
        begins = size == TLS_RECORD and self._ssl is None and not self._out
        sent = 0 if begins or self._out else self._send(data)
        if sent < size:
            rest = memoryview(bytes(data) if isinstance(data, bytearray) else data)[sent:]
            self._out.append(rest)
            self._buffered += len(rest)
            if begins:
                self._gathers = True
                self._loop.call_soon(self._writable)
            elif not self._gathers:
                self._watch_writing()
            elif self._buffered >= _GATHERED:
                self._flush()

    def close(self) -> None:
        """Close after what is buffered has been sent; the owner is told by `drained`."""
        if self._out and not self.closed:
            if self._closing is None:
                self._closing = self._loop.call_later(_CLOSE_S, self._give_up)
                self.pause()
            return
        self._notify_tls()
        self._drop()

    def abort(self) -> None:
        """Reset the connection: whatever is buffered is lost, and the peer learns of it."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._drop()

    def shutdown(self, *, deaf: bool = False) -> None:
        """Send the end of file after what is buffered; reading goes on, without decrypting where it is to be `deaf`."""
        if not self.closed and not self._has_shut:
            self._shutting = True
            self._deaf = deaf
            self._shut()

    def _shut(self) -> None:
        if self._out or self.closed:
            return
        if self._ssl is not None and not self._deaf:
            # what OpenSSL holds decrypted it would take for an error; what has no room now is sent when there is some
            if self._pending():
                return
            if not self._has_room():
                self._watch_writing()
                return
        self._shutting, self._has_shut = False, True
        self._end_tls()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
        if self._deaf and self._ssl is not None:
            self._ssl = None
            self._sock = socket.socket(fileno=self._sock.detach())
            self._sock.settimeout(0)
            self._recv, self._put = self._sock.recv, self._sock.send

    def _has_room(self) -> bool:
        """Whether a record can be sent at once: the kernel calls writable what has a third of its buffer free."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

    def _end_tls(self) -> None:
        """Send close_notify; reading goes on, unless it is to be deaf anyway."""
        if self._ssl is None or self._deaf:
            self._notify_tls()
            return
        record = close_notify(self._ssl)
        if record is not None:  # without descriptors the end is an unclean one: better than to lose what comes
            with contextlib.suppress(OSError):
                socket.socket.send(self._sock, record)

    def _notify_tls(self) -> None:
        """Send close_notify, without waiting for the peer's (RFC 8446 section 6.1)."""
        if self._ssl is not None and not self.closed:
            with contextlib.suppress(OSError, ValueError):
                self._ssl.unwrap()

    def _drop(self) -> None:
        if self.closed:
            return
        self._unwatch()
        self._unwatch_writing()
        if self._closing is not None:
            self._closing.cancel()
        self.closed = True
        self._out.clear()
        self._buffered = 0
        self._sock.close()
        # OpenSSL's part, 20 KB, ends here, not with this object, which its owner may still hold
        self._ssl = None
        self._recv, self._put = self._sock.recv, self._sock.send

    def _watch(self) -> None:
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _unwatch(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _watch_writing(self) -> None:
        if not self._writing and not self.closed:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _unwatch_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)

    def look(self) -> None:
        """Read now what is there, an error that nobody has told of among it."""
        self._readable()

    def _readable(self) -> None:
        try:
            for _ in _READS_PER_WAKE:
                if not self._read():
                    break
            else:
                if self._pending():
                    self._loop.call_soon(self._readable)
            if self._shutting:
                self._shut()
        except Exception as error:  # noqa: BLE001 - of an owner: whatever it is, the loop and all others go on
            self.crash(error)

    def _read(self) -> bool:
        """Read once; say whether to read again."""
        if self._paused or self.closed or self.eof:
            return False
        openssl = self._ssl
        size = self._size if openssl is None else TLS_RECORD
        try:
            data = self._recv(size)
        except OSError as error:
            self._read_failed(error)
            return False
        if not data:
            self._read_end()
            return False
        if openssl is None:
            self._size = _BULK_SIZE if len(data) >= READ_SIZE else READ_SIZE
        # A short read is taken for the last without asking again, but where something has to come: a reset behind
        # these bytes is told by libuv once, with them, and never again.
        return self.owner.received(self, data) or len(data) >= size

    def _read_failed(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLWantWriteError):  # a key update wants to be answered first
            self._watch_writing()
        elif isinstance(error, ssl.SSLZeroReturnError):  # the end comes as an error to who has sent its own
            self._read_end()
        elif not isinstance(error, _NOT_NOW):
            self._break(error)

    def _read_end(self) -> None:
        if self._failed is not None:
            self._break(self._failed)
            return
        self.eof = True
        self._unwatch()
        self.owner.ended(self)

    def _pending(self) -> bool:
        return self._ssl is not None and not self.closed and self._ssl.pending() > 0

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Send until the kernel takes no more; return how much went. A break is told of on the next turn."""
        total, size = 0, len(data)
        try:
            total = self._put(data)
            while total < size:
                total += self._put(memoryview(data)[total:])
        except (*_NOT_NOW, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._loop.call_soon(self._write_failed, error)
            self._unacknowledged += size - total
            return size
        return total

    def _write_failed(self, error: OSError) -> None:
        """Read what came before the reset: a server may answer, and close while it is still being sent to."""
        self._unacknowledged += self._buffered
        self._out.clear()
        self._buffered = 0
        if self.eof or self._closing is not None:
            self._break(error)
        elif self._failed is None:
            self._failed = error
            self._readable()

    def _break(self, error: OSError) -> None:
        if not self.closed:
            self._unacknowledged = self.unacknowledged()
            self._drop()
            self._tell_lost(error)

    def _tell_lost(self, error: OSError) -> None:
        try:
            self.owner.lost(self, error)
        except Exception as fault:  # noqa: BLE001 - see `_readable`
            self.report(fault)

    def report(self, fault: Exception) -> None:
        """Tell of a fault of ours as asyncio does."""
        self._loop.call_exception_handler({"message": "a connection ends by a fault of the relay", "exception": fault})

    def _give_up(self) -> None:
        self._break(TimeoutError("the peer does not read"))

    def crash(self, fault: Exception) -> None:
        """End this connection for a fault of ours."""
        self.report(fault)
        self.abort()
        self._tell_lost(CrashError(str(fault)))

    def _writable(self) -> None:
        try:
            self._flush()
        except Exception as error:  # noqa: BLE001 - see `_readable`
            self.crash(error)

    def _flush(self) -> None:
        told = self._writing or self._closing is not None
        """Whether somebody waits for it."""
        self._gathers = False
        if self.closed:
            return
        if self._ssl is None:
            self._send_gathered()
        else:
            self._send_one_by_one()
        if not self._out:
            self._sent_all()
        else:
            self._watch_writing()
        if told and self._buffered <= LOW_WATER:
            self.owner.drained(self)

    def _send_one_by_one(self) -> None:
        while self._out:
            view = self._out[0]
            sent = self._send(view)
            self._buffered -= sent
            if sent < len(view):
                self._out[0] = view[sent:]
                break
            self._out.popleft()

    def _send_gathered(self) -> None:
        out = self._out
        while out:
            try:
                sent = self._sock.sendmsg(islice(out, _PIECES))
            except _NOT_NOW:
                return
            except OSError as error:
                self._loop.call_soon(self._write_failed, error)
                self._unacknowledged += self._buffered
                self._buffered = 0
                out.clear()
                return
            self._buffered -= sent
            while sent:
                size = len(out[0])
                if sent < size:
                    out[0] = out[0][sent:]
                    break
                sent -= size
                out.popleft()

    def _sent_all(self) -> None:
        self._unwatch_writing()
        if self._closing is not None:
            self._notify_tls()
            self._drop()
            return
        if self._shutting:
            self._shut()
        if self._ssl is not None:  # reading may have waited for this
            self._loop.call_soon(self._readable)
