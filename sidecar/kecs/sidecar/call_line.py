"""The log line of a call. One is written for every request, so it is put together and not encoded: 2 us instead of 7.

What a client or a backend may have spelled is encoded as JSON where it is more than letters, digits and hyphens.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from kecs.aws.call import Call
from kecs.relay.decide import Exchange
from kecs.sidecar.accesslog import text_of, timestamp
from kecs.sidecar.context import CallContext

_KEPT: Final = 1024
_MILLISECONDS: Final = 1000


type PlannedLine = Callable[[datetime, float, int, int, int, str], bytes]
"""Time, seconds taken, status, bytes of the request's and the response's body, request id; the line with its end."""


class CallLines:
    """Spells calls; it remembers the second it is in."""

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def line(self, exchange: Exchange, context: CallContext, now: datetime) -> bytes:
        """Return the line of a finished call, with its end."""
        self._turn(now)
        call, route = context.call, context.route
        upstream = "" if route is None or exchange.upstream is None else route.address
        duration_ms = max(0.0, exchange.ended - exchange.started) * _MILLISECONDS
        return (
            f'{{"time":"{self._prefix}{now.microsecond // _MILLISECONDS:03d}Z","event":"call",{_of_call(call)}'
            f'"status":{exchange.status},"duration_ms":{duration_ms:.3f},"bytes_in":{exchange.request_bytes},'
            f'"bytes_out":{exchange.response_bytes},"upstream":"{upstream}","request_id":{_quoted(context.request_id)},'
            f'{_of_request(call.host, exchange.head.method)}"verdict":"{_verdict(exchange)}",'
            f'"reason":"{exchange.reason}"}}\n'
        ).encode()

    def planned(self, call: Call, address: str, method: bytes) -> PlannedLine:
        """Return what spells the lines of intercepted calls that differ in nothing but time, sizes and request id."""
        words = f'"event":"call",{_of_call(call)}"status":'
        before = f'"upstream":"{address}","request_id":'
        after = f',{_of_request(call.host, method)}"verdict":"intercept","reason":""}}\n'

        def line(now: datetime, seconds: float, status: int, sent: int, got: int, identity: str) -> bytes:  # noqa: PLR0917 - called in one place
            self._turn(now)
            return (
                f'{{"time":"{self._prefix}{now.microsecond // _MILLISECONDS:03d}Z",{words}{status},"duration_ms":'
                f'{max(0.0, seconds) * _MILLISECONDS:.3f},"bytes_in":{sent},"bytes_out":{got},{before}'
                f"{_quoted(identity)}{after}"
            ).encode()

        return line

    def _turn(self, now: datetime) -> None:
        """Spell the second again where it is another than before."""
        second = int(now.timestamp())
        if second != self._second:
            self._second = second
            self._prefix = timestamp(datetime.fromtimestamp(second, UTC)).removesuffix("000Z")


def _verdict(exchange: Exchange) -> str:
    if exchange.upstream is None:
        return "answer"
    return "engine" if exchange.connection.origin == "engine" else "intercept"


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
