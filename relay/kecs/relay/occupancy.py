"""Who is connected, and who may still come. Pure.

clients           from its address    a further connection
----------------  ------------------  ---------------------------------------------------
below the limit   below the limit     is carried
below the limit   at the limit        is answered 503 while the reserve lasts, else reset
at the limit      any                 the same
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kecs.relay.config import RelayConfig

_OTHERS: Final = 96
"""Descriptors that are no clients': listeners, loop, log, DNS, the engine's pipes, idle connections to backends."""
_EACH: Final = 2
"""A client's connection and the one that is made for it."""


class Limit(StrEnum):
    """What was reached: the word in logs and metrics. Backends' times are `kecs.relay.decide.Failure`."""

    CONNECTIONS = "connections_over_limit"
    """More clients than `connections_max`."""
    CLIENT_CONNECTIONS = "client_connections_over_limit"
    """More connections from one address than `client_connections_max`."""
    REQUESTS = "requests_over_limit"
    """More requests wait for backends than `requests_max`."""
    DESCRIPTORS = "descriptors_exhausted"
    """The process or the machine had no descriptor left."""
    HEAD_BYTES = "head_too_long"
    """A request's head was longer than `head_bytes_max`."""
    HEAD_FIELDS = "head_too_many_fields"
    """A request's head had more than `head_fields_max`."""
    HANDSHAKE = "tls_handshake_timeout"
    """A TLS handshake took longer than `handshake_timeout_s`."""
    HEAD = "head_timeout"
    """A request's head took longer than `head_timeout_s`."""
    BODY = "body_timeout"
    """Nothing of a request's body came for `body_timeout_s`."""
    IDLE = "idle_timeout"
    """No request came for `idle_timeout_s`."""
    CLIENT = "client_timeout"
    """A client did not take its answer."""
    DISCARD = "discard_over_limit"
    """More than `discard_bytes_max` came of a request that was answered before its end."""
    DIAL = "dial_timeout"
    """An original destination was not reached within `dial_timeout_s`."""
    TUNNEL = "tunnel_idle_timeout"
    """Nothing was passed for `tunnel_idle_timeout_s`."""
    DRAIN = "drain_cut"
    """A connection was open when the drain's time was over."""


def room_for(config: RelayConfig, descriptors: int) -> tuple[int, int]:
    """Return how many clients this many descriptors suffice for, and how many more to be told that there is no room."""
    left = max(0, descriptors - _OTHERS)
    reserve = min(config.connections_reserve, left // 4)
    return min(config.connections_max, max(1, (left - reserve) // _EACH)), reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a new connection stands. Without a limit it is carried."""

    limit: Limit | None = None
    answered: bool = True
    """With a limit: there is room to say so; else the connection is reset."""


_CARRIED: Final = Entry()


class Occupancy:
    """See the module."""

    def __init__(self, config: RelayConfig, *, descriptors: int) -> None:
        self.most, self._reserve = room_for(config, descriptors)
        self._client_most = config.client_connections_max
        self.clients = 0
        """Connections that are carried."""
        self._by_client: defaultdict[str, int] = defaultdict(int)
        self._over: dict[int, Limit] = {}

    def enter(self, number: int, client: str) -> Entry:
        """Count a connection in, unless it is to be reset."""
        limit = self._limit(client)
        if limit is None:
            self.clients += 1
            if self._client_most:
                self._by_client[client] += 1
            return _CARRIED
        if len(self._over) >= self._reserve:
            return Entry(limit=limit, answered=False)
        self._over[number] = limit
        return Entry(limit=limit)

    def _limit(self, client: str) -> Limit | None:
        if self.clients >= self.most:
            return Limit.CONNECTIONS
        if self._client_most and self._by_client.get(client, 0) >= self._client_most:
            return Limit.CLIENT_CONNECTIONS
        return None

    def limit_of(self, number: int) -> Limit | None:
        """Return why a connection that was counted in is only to be answered 503; None when it is carried."""
        return self._over.get(number)

    def leave(self, number: int, client: str) -> None:
        """Count a connection out that was counted in."""
        if self._over.pop(number, None) is not None:
            return
        self.clients -= 1
        if self._client_most:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
