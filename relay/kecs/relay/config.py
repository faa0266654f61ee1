"""The relay's limits and times. All are bounds: none is meant to be reached in ordinary use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Limits in bytes and counts, times in seconds."""

    head_bytes_max: int = 65536
    """A longer request head is answered 431. AWS itself takes 8 KiB of URL and as much again of fields."""
    head_fields_max: int = 200
    peek_timeout_s: float = 2.0
    """After this long without a word from the client, the server may be the one that speaks first."""
    head_timeout_s: float = 30.0
    """From a request's first byte to the end of its head; then 408. It also bounds TLS handshakes."""
    idle_timeout_s: float = 350.0
    """A kept connection without a request. AWS's own load balancers keep 350 s."""
    body_timeout_s: float = 120.0
    """Without a byte of the request body."""
    connect_timeout_s: float = 5.0
    """To a backend."""
    dial_timeout_s: float = 60.0
    """To an original destination: as patient as most clients' own connects."""
    response_timeout_s: float = 900.0
    """Without a byte from the backend: long polls and Lambda's longest invocation must fit."""
    tunnel_idle_timeout_s: float = 7200.0
    """Without a byte in either direction of a pass."""
    linger_s: float = 2.0
    """How long a refused request's bytes are read and dropped, so that the answer is not lost to a reset."""
    connections_max: int = 8192
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
