"""The log line of a call. One is written for every request, so it is put together and not encoded: 2 us instead of 7.

What a client or a backend may have spelled is encoded as JSON where it is more than letters, digits and hyphens.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from kecs.aws.call import Call
from kecs.calls.accesslog import text_of, timestamp
from kecs.calls.context import CallContext
from kecs.relay.decide import Exchange

_KEPT: Final = 1024
_MILLISECONDS: Final = 1000
_PLAIN: Final = re.compile(rb"[0-9A-Za-z-]{1,128}")


type PlannedLine = Callable[[float, float, int, int, int, bytes], bytes]
"""Seconds since the epoch, seconds taken, status, bytes of the request and of the response, request id; to a line."""


class CallLines:
    """Spells calls; it remembers the second it is in."""

    __slots__ = ("_prefix", "_second", "_verdict")

    def __init__(self, verdict: str = "intercept") -> None:
        self._verdict = verdict
        self._second = -1
        self._prefix = b""

    def line(self, exchange: Exchange, context: CallContext, now: datetime) -> bytes:
        """Return the line of a finished call, with its end."""
        call, route = context.call, context.route
        upstream = "" if route is None or exchange.upstream is None else route.address
        form = _form(call, upstream, exchange.head.method, self._verdict_on(exchange), exchange.reason)
        return form % (
            self._at(int(now.timestamp())),
            now.microsecond // _MILLISECONDS,
            exchange.status,
            max(0.0, exchange.ended - exchange.started) * _MILLISECONDS,
            exchange.request_bytes,
            exchange.response_bytes,
            _quoted(context.request_id.encode("latin-1")),
        )

    def planned(self, call: Call, address: str, method: bytes) -> PlannedLine:
        """Return what spells the lines of intercepted calls that differ in nothing but time, sizes and request id."""
        form = _form(call, address, method, self._verdict, "")

        def line(now: float, seconds: float, status: int, sent: int, got: int, identity: bytes) -> bytes:  # noqa: PLR0917 - called in one place
            second = int(now)
            took_ms = seconds * _MILLISECONDS if seconds > 0 else 0.0
            milliseconds = int((now - second) * _MILLISECONDS)
            return form % (self._at(second), milliseconds, status, took_ms, sent, got, _quoted(identity))

        return line

    def _verdict_on(self, exchange: Exchange) -> str:
        if exchange.upstream is None:
            return "answer"
        return "engine" if exchange.connection.origin == "engine" else self._verdict

    def _at(self, second: int) -> bytes:
        """Spell a second, which is mostly the one before."""
        if second != self._second:
            self._second = second
            self._prefix = timestamp(datetime.fromtimestamp(second, UTC)).removesuffix("000Z").encode()
        return self._prefix


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value if _PLAIN.fullmatch(value) else json.dumps(text_of(value.decode("latin-1"))).encode()


def _form(call: Call, upstream: str, method: bytes, verdict: str, reason: str) -> bytes:
    """Return the line as bytes to be formatted with second, milliseconds, status, duration, sizes and request id."""
    return _form_of(call.service, call.operation, call.region, call.host, upstream, method, verdict, reason)


@lru_cache(maxsize=_KEPT)
def _form_of(*words: str | bytes) -> bytes:
    texts = [word if isinstance(word, str) else text_of(word.decode("latin-1")) for word in words]
    service, operation, region, host, upstream, method, verdict, reason = [
        json.dumps(text).replace("%", "%%") for text in texts
    ]
    return (
        f'{{"time":"%b%03dZ","event":"call","service":{service},"operation":{operation},"region":{region},"status":%d,'
        f'"duration_ms":%.3f,"bytes_in":%d,"bytes_out":%d,"upstream":{upstream},"request_id":%b,'
        f'"host":{host},"method":{method},"verdict":{verdict},"reason":{reason}}}\n'
    ).encode()
