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

    __slots__ = ("_prefix", "_prefix_bytes", "_second", "_verdict")

    def __init__(self, verdict: str = "intercept") -> None:
        self._verdict = verdict
        self._second = -1
        self._prefix = ""
        self._prefix_bytes = b""

    def line(self, exchange: Exchange, context: CallContext, now: datetime) -> bytes:
        """Return the line of a finished call, with its end."""
        second = int(now.timestamp())
        if second != self._second:
            self._turn(second)
        call, route = context.call, context.route
        upstream = "" if route is None or exchange.upstream is None else route.address
        duration_ms = max(0.0, exchange.ended - exchange.started) * _MILLISECONDS
        return (
            f'{{"time":"{self._prefix}{now.microsecond // _MILLISECONDS:03d}Z","event":"call",{_of_call(call)}'
            f'"status":{exchange.status},"duration_ms":{duration_ms:.3f},"bytes_in":{exchange.request_bytes},'
            f'"bytes_out":{exchange.response_bytes},"upstream":"{upstream}","request_id":{_quoted(context.request_id)},'
            f'{_of_request(call.host, exchange.head.method)}"verdict":"{self._verdict_on(exchange)}",'
            f'"reason":"{exchange.reason}"}}\n'
        ).encode()

    def planned(self, call: Call, address: str, method: bytes) -> PlannedLine:
        """Return what spells the lines of intercepted calls that differ in nothing but time, sizes and request id."""
        words = f'"event":"call",{_of_call(call)}"status":'.replace("%", "%%")
        before = f'"upstream":"{address}","request_id":'.replace("%", "%%")
        after = f',{_of_request(call.host, method)}"verdict":"{self._verdict}","reason":""}}\n'.replace("%", "%%")
        form = (
            f'{{"time":"%b%03dZ",{words}%d,"duration_ms":%.3f,"bytes_in":%d,"bytes_out":%d,{before}%b{after}'
        ).encode()

        def line(now: float, seconds: float, status: int, sent: int, got: int, identity: bytes) -> bytes:  # noqa: PLR0917 - called in one place
            second = int(now)
            if second != self._second:
                self._turn(second)
            quoted = b'"%b"' % identity if _PLAIN.fullmatch(identity) else _quoted(identity.decode("latin-1")).encode()
            took_ms = seconds * _MILLISECONDS if seconds > 0 else 0.0
            milliseconds = int((now - second) * _MILLISECONDS)
            return form % (self._prefix_bytes, milliseconds, status, took_ms, sent, got, quoted)

        return line

    def _verdict_on(self, exchange: Exchange) -> str:
        if exchange.upstream is None:
            return "answer"
        return "engine" if exchange.connection.origin == "engine" else self._verdict

    def _turn(self, second: int) -> None:
        """Spell the second, which is another than before."""
        self._second = second
        self._prefix = timestamp(datetime.fromtimestamp(second, UTC)).removesuffix("000Z")
        self._prefix_bytes = self._prefix.encode()


def _quoted(value: str) -> str:
    if value.replace("-", "").isalnum() and value.isascii() and len(value) <= _KEPT // 8:
        return f'"{value}"'
    return json.dumps(text_of(value))


def _of_call(call: Call) -> str:
    return _of_words(call.service, call.operation, call.region)


@lru_cache(maxsize=_KEPT)
def _of_words(service: str, operation: str, region: str) -> str:
    return f'"service":{json.dumps(service)},"operation":{json.dumps(operation)},"region":{json.dumps(region)},'


@lru_cache(maxsize=_KEPT)
def _of_request(host: str, method: bytes) -> str:
    return f'"host":{json.dumps(host)},"method":{json.dumps(text_of(method.decode("latin-1")))},'
