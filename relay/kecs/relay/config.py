"""The relay's limits and times. All are bounds: none is meant to be reached in ordinary use. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from kecs.core.errors import ConfigError

_DAY_S: Final = 86400.0
_LEAST_S: Final = 0.001
_MANY: Final = 1 << 20
_TIME: Final = (_LEAST_S, _DAY_S)

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "head_bytes_max": (4096, _MANY),
    "head_fields_max": (16, 10000),
    "peek_timeout_s": _TIME,
    "handshake_timeout_s": _TIME,
    "head_timeout_s": _TIME,
    "idle_timeout_s": _TIME,
    "body_timeout_s": _TIME,
    "continue_timeout_s": _TIME,
    "connect_timeout_s": _TIME,
    "dial_timeout_s": _TIME,
    "first_byte_timeout_s": _TIME,
    "response_timeout_s": _TIME,
    "tunnel_idle_timeout_s": _TIME,
    "linger_s": _TIME,
    "connections_max": (1, _MANY),
    "connections_reserve": (0, 4096),
    "client_connections_max": (0, _MANY),
    "requests_max": (1, _MANY),
    "pool_max": (0, 65536),
    "pool_idle_timeout_s": _TIME,
    "pipelined_bytes_max": (4096, 1 << 24),
    "replay_bytes_max": (0, 1 << 24),
    "discard_bytes_max": (0, 1 << 40),
}
"""The least and the most that each may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Limits in bytes and counts, times in seconds; raises ConfigError for what is out of `BOUNDS`."""

    head_bytes_max: int = 65536
    """A longer request head is answered 431. AWS itself takes 8 KiB of URL and as much again of fields."""
    head_fields_max: int = 200
    peek_timeout_s: float = 2.0
    """After this long without a word from the client, the server may be the one that speaks first."""
    handshake_timeout_s: float = 30.0
    """From the decision to terminate TLS to the end of the handshake."""
    head_timeout_s: float = 30.0
    """From a request's first byte to the end of its head; then 408."""
    idle_timeout_s: float = 350.0
    """A kept connection without a request. AWS's own load balancers keep 350 s."""
    body_timeout_s: float = 120.0
    """Without a byte of the request body."""
    continue_timeout_s: float = 0.5
    """For a backend's word on a request whose client waits for it (Expect: 100-continue); then the relay says 100.

    Clients that go on by themselves wait for about a second.
    """
    connect_timeout_s: float = 5.0
    """To a backend."""
    dial_timeout_s: float = 60.0
    """To an original destination: as patient as most clients' own connects."""
    first_byte_timeout_s: float = 900.0
    """From the last byte of a request to the first of its answer: long polls and Lambda's longest invocation must
    fit."""
    response_timeout_s: float = 900.0
    """Between two bytes of an answer, or of a request that the backend does not take. Event streams fall silent too."""
    tunnel_idle_timeout_s: float = 7200.0
    """Without a byte in either direction of a pass."""
    linger_s: float = 2.0
    """How long a refused request's bytes are read and dropped, so that the answer is not lost to a reset."""
    connections_max: int = 8192
    """Clients' connections at a time; less where descriptors do not suffice, two for each."""
    connections_reserve: int = 64
    """Connections above `connections_max` that are accepted to be answered 503; what comes above these is reset."""
    client_connections_max: int = 0
    """Connections from one address; 0 for no such limit. A pod's containers share its address."""
    requests_max: int = 4096
    """Requests that wait for a backend at a time; further ones are answered 503 at once."""
    pool_max: int = 256
    """Idle connections kept to one backend."""
    pool_idle_timeout_s: float = 60.0
    """An idle connection to a backend is closed after this long."""
    pipelined_bytes_max: int = 65536
    """How much of following requests is read while one is answered."""
    replay_bytes_max: int = 65536
    """How much of a body is kept, to send it again when a kept connection turns out to be dead.

    Longer bodies get a connection of their own. The head is kept as well, so it may be twice as much in all.
    """
    discard_bytes_max: int = 256 * 1024 * 1024
    """How much of a body is read and dropped when the answer came before its end."""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"relay.{name} is {value!r}", hint=f"from {least:g} to {most:g}")

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read values by their names; raise ConfigError for unknown names and other types. Absent ones are default."""
        for name, value in given.items():
            if name not in BOUNDS:
                raise ConfigError(f"relay has no {name!r}", hint=f"it has {', '.join(BOUNDS)}")
            wanted = (int, float) if name in SECONDS else (int,)
            if type(value) not in wanted:  # a bool is an int, but no number of anything
                kind = "number of seconds" if name in SECONDS else "whole number"
                raise ConfigError(f"relay.{name} {value!r} is no {kind}")
        return cls(**given)


SECONDS: Final = frozenset(field.name for field in fields(RelayConfig) if field.type is float)
"""The names that are times."""
