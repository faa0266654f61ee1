"""The records of the sidecar: one JSON line per call and per connection that failed. Never keys, tokens or bodies."""

import asyncio
import errno
import json
import os
import select
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kecs.aws.unclassified import Sighting
from kecs.calls.context import OwnContext
from kecs.relay.decide import Connection, Exchange, Peeked, Refuse, Terminate, Verdict

type Record = dict[str, Any]

_TEXT_MAX: Final = 256
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_DISTRUST: Final = "tls_alert_"
_CLIENT_LEFT: Final = frozenset({"client_closed", "client_reset", "closed", "tls_client_closed", "given"})
TRUST_HINT: Final = (
    "the client does not trust this authority's root: give it the bundle by AWS_CA_BUNDLE (AWS SDKs and CLI), "
    "SSL_CERT_FILE (Go, Ruby, OpenSSL), REQUESTS_CA_BUNDLE (Python requests), NODE_EXTRA_CA_CERTS (Node.js), "
    "CURL_CA_BUNDLE (curl) or -Djavax.net.ssl.trustStore (Java)"
)
_HINTS: Final[Mapping[str, str]] = {
    "aws_name_wants_client_certificate": "the server at this name asks for client certificates, which can't be shown "
    "in between: name it in pass hosts to let it through undecrypted",
    "aws_address_other_protocol": "only HTTP and TLS are answered for AWS names; other protocols have no emulator here",
    "no_certificate": "the sidecar has no intermediate yet: the log's certificate_renewal_failed says why",
    "certificate_not_valid": "the sidecar's intermediate does not hold at this time: see the log's "
    "certificate_renewal_failed, and the clock",
    "unclassified": "no service is known by this host, scope, target or path: the request was answered 501, not sent "
    "to the emulator; each kind is told once",
    "other_name_at_aws_address": "this address was given out for an AWS name; the client must have it from there",
}


def text_of(value: str) -> str:
    """Bound what a client or a backend has spelled; control characters can't get into a terminal."""
    if len(value) <= _TEXT_MAX and value.isprintable():
        return value
    return "".join(c if c.isprintable() else "?" for c in value[:_TEXT_MAX])


def timestamp(now: datetime) -> str:
    """Spell a time as every record does: UTC, milliseconds."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def exchange_record(exchange: Exchange, now: datetime) -> Record | None:
    """Return the record of a finished exchange that is no call; None where nobody needs to know (the admin port)."""
    context = exchange.context
    common: Record = {
        "status": exchange.status,
        "duration_ms": round(max(0.0, exchange.ended - exchange.started) * 1000, 3),
        "bytes_in": exchange.request_bytes,
        "bytes_out": exchange.response_bytes,
    }
    method = text_of(exchange.head.method.decode("latin-1"))
    if isinstance(context, OwnContext):
        return {
            "time": timestamp(now), "event": context.event, "address": context.address, "method": method, **common,
            "reason": exchange.reason,
        }  # fmt: skip
    if not exchange.name:
        return None
    return {
        "time": timestamp(now), "event": "invalid", "host": text_of(exchange.name), "method": method, **common,
        "reason": exchange.reason,
    }  # fmt: skip


def connection_record(
    connection: Connection, verdict: Verdict, peeked: Peeked, reason: str, now: datetime
) -> Record | None:
    """Return the record of a connection that could not be served; None for passes and clients that left."""
    if reason in _CLIENT_LEFT:
        return None
    name = verdict.name if isinstance(verdict, Terminate) else peeked.name
    if isinstance(verdict, Terminate):
        event = "client_distrusts" if reason.startswith(_DISTRUST) else "tls_failed"
    elif isinstance(verdict, Refuse):
        event = "refused"
    else:
        return None
    host = connection.destination.host
    record: Record = {
        "time": timestamp(now),
        "event": event,
        "host": text_of(name),
        "destination": f"{f'[{host}]' if ':' in host else host}:{connection.destination.port}",
        "reason": text_of(reason),
    }
    hint = TRUST_HINT if event == "client_distrusts" else _HINTS.get(reason, "")
    return record | ({"hint": hint} if hint else {})


def unclassified_record(seen: Sighting, now: datetime) -> Record:
    """Return the record of a kind of request that no service is known for; each request has its call's line besides.

    Of the path only words: what stands for single things may be a secret of who asks.
    """
    return {
        "time": timestamp(now), "event": "unclassified", "host": text_of(seen.host), "scope": seen.scope,
        "target": seen.target, "method": seen.method, "path": seen.shape.path, "hint": _HINTS["unclassified"],
    }  # fmt: skip


def line_of(record: Mapping[str, Any]) -> bytes:
    """Spell a record as its line."""
    return _encode(record).encode() + b"\n"


class LogWriter:
    """Writes lines to a descriptor without ever waiting for who reads it. What does not fit is dropped and counted.

    The descriptor stays the caller's. Its file description is shared with other processes in general, so it is asked
    whether it takes bytes instead of being made non-blocking.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, *, bytes_max: int = 4 << 20) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._bytes_max = bytes_max
        self._lines: deque[bytes] = deque()
        self._unspelled: list[tuple[Callable[..., bytes], tuple[Any, ...]]] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._broken = False
        self.dropped = 0
        """Lines that nobody could take."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Take a record; it is written now or soon."""
        self.put(line_of(record))

    def later(self, spell: Callable[..., bytes], values: tuple[Any, ...]) -> None:
        """Take a record as what spells its line: done for many in a row, it costs half of what it does in between."""
        if len(self._unspelled) >= _UNSPELLED_MAX:
            self._spell()
        self._unspelled.append((spell, values))
        if self._timer is None:
            self._timer = self._loop.call_later(_GATHER_S, self._flush)

    def _spell(self) -> None:
        taken, self._unspelled = self._unspelled, []
        for spell, values in taken:
            self._take(spell(*values))

    def put(self, line: bytes) -> None:
        """Take a record as its line."""
        if self._unspelled:
            self._spell()
        self._take(line)

    def _take(self, line: bytes) -> None:
        if self._broken or len(line) > select.PIPE_BUF or self._size + len(line) > self._bytes_max:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None:
            self._timer = self._loop.call_later(_GATHER_S, self._flush)

    def close(self, *, wait_s: float = 1.0) -> None:
        """Write what is left, waiting this long at most for the reader."""
        self._spell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._loop.time() + wait_s
        while self._lines and not self._broken and self._drain(max(0.0, deadline - self._loop.time())):
            pass
        self._forget()
        self._broken = True

    def _flush(self) -> None:
        self._timer = None
        self._spell()
        while self._lines and not self._broken:
            if not self._drain(0):
                # Regular files and terminals can't be watched by epoll, so the reader is asked again in a moment.
                self._timer = self._loop.call_later(_RETRY_S, self._flush)
                return

    def _drain(self, wait_s: float) -> bool:
        """Write some lines if the descriptor takes them; say whether it did."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(int(wait_s * 1000)):
            return False
        # Up to this size a pipe that is ready takes all without blocking, and lines of several writers don't mix.
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= select.PIPE_BUF:
            size += len(self._lines[0])
            batch.append(self._lines.popleft())
        data = b"".join(batch)
        written = self._write(data)
        if written < len(data):  # kept as one piece: a line that was cut is made whole before the next
            self._lines.appendleft(data[written:])
        self._size -= written
        if self._broken:
            self._forget()
        return written == len(data)

    def _write(self, data: bytes) -> int:
        """Write once; return how much went."""
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            # a disk that is full has room again some day; nobody comes back to the other end of a pipe
            self._broken = error.errno in _FOR_GOOD
            return 0

    def _forget(self) -> None:
        self.dropped += sum(piece.count(b"\n") for piece in self._lines)
        self._lines.clear()
        self._size = 0


_FOR_GOOD: Final = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET, errno.ENOTCONN})
_RETRY_S: Final = 0.02
_UNSPELLED_MAX: Final = 64
"""More at a time would make a request wait that comes meanwhile."""
_GATHER_S: Final = 0.05
"""Lines of this long are written together: waking the reader for each costs more than the relay's own work."""
