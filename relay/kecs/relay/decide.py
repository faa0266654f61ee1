"""The seam between the data path and decisions: what the relay asks, and what it may be told.

The relay knows bytes, sockets and time; it knows neither AWS services nor Kubernetes. Whoever runs it passes a
`Decider`. Every method returns at once and does no I/O.
"""

import socket
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from kecs.aws.head import Answer, RequestHead, ResponseHead


class Address(NamedTuple):
    """An IP address in text form, and a port."""

    host: str
    port: int


class Wire(StrEnum):
    """What the first bytes of a client look like."""

    TLS = "tls"
    HTTP = "http"
    CONNECT = "connect"
    """An HTTP proxy's CONNECT: `name` and `port` are its authority."""
    OTHER = "other"
    SILENT = "silent"
    """Nothing was said within the peek time: the server may speak first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A client's connection as accepted. `destination` is where the client wanted to go."""

    number: int
    client: Address
    destination: Address
    origin: str = "redirect"
    """Which listener accepted it: redirect | admin | engine."""
    secure: bool = False
    """TLS was ended here: what is asked on it came by https."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """What the first bytes say. Nothing has been consumed."""

    wire: Wire
    name: str = ""
    """SNI, Host or CONNECT authority: lower case, without port and trailing dot; empty when absent."""
    port: int = 0
    alpn: tuple[str, ...] = ()


class Look(StrEnum):
    """How to treat a new connection before its first bytes are known."""

    PEEK = "peek"
    """Look at the client's first bytes before anything is dialled. After the peek time the destination is, and whoever
    speaks first tells what it is."""
    WAIT = "wait"
    """Look at the client's first bytes; nothing is dialled, since nobody is there. In the end the wire is SILENT."""
    DIAL = "dial"
    """Dial the original destination, then pass, unless the client speaks first with CONNECT to a name that is
    intercepted (asked through `connection` with wire CONNECT or OTHER)."""
    SERVE = "serve"
    """Plain HTTP served by us: no peek (metadata addresses, admin port, the engine's way back)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Tunnel undecrypted to the original destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """End TLS here with a certificate for this name, then serve HTTP/1.1."""

    name: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve plain HTTP/1.1. After CONNECT: answer 200, then ask `connection` again with what follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Tunnel the bytes, untouched, to an engine of ours that listens here."""

    address: Address
    first: bytes = b""
    """What the engine is told before the client's first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """Give the client's socket to somebody else, with nothing read; `take` says whether it was taken."""

    take: Callable[[socket.socket], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Reset the connection; `reason` is a stable snake_case word for logs and metrics."""

    reason: str


type Verdict = Pass | Terminate | Serve | Handover | Give | Refuse


class Upstream(NamedTuple):
    """A backend's address. It comes from configuration, never from a client."""

    host: str
    port: int
    tls_name: str = ""
    """Not empty: speak TLS and verify this name."""


class Forward(NamedTuple):
    """Send this head and the body, verbatim, to the upstream. `context` comes back in `response` and `failed`."""

    upstream: Upstream
    head: RequestHead
    context: Any = None
    body: bytes | None = None
    """Not None: sent instead of the request's body, of which all must have been shown (`Exchange.body_whole`). The
    head's framing has to say its length."""


class Gather(NamedTuple):
    """Collect the answer's body, without its framing, up to this many bytes, then ask `gathered`; beyond, `overgrown`.

    `head` is what the client gets where there is no body, and what these are asked with.
    """

    head: ResponseHead
    bytes_max: int


type Note = Callable[[float, float, int, int, int, bytes], None]
"""Takes note of a finished exchange: when it started and ended (seconds of time.monotonic()), its status, the bytes of
its bodies (request, response), its request id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SameAnswer:
    """What answers of the same names, status, content type, encoding and caching become."""

    head: ResponseHead
    """As `response` returns it, with one of `marks` where a value is another each time."""
    marks: tuple[bytes, ...]
    """In the order of the head."""
    fill: Callable[[bytes], tuple[bytes, tuple[bytes, ...]]]
    """Takes the request id that the upstream gave, or b""; returns the request id and the values of the marks."""
    identity: tuple[bytes, ...]
    """Names, in lower case, of the fields in which an upstream gives the request id; the first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """Which requests are decided as one was: those of its method, of the same names in the same order, and of these."""

    target: bytes
    """The pattern of their targets: printable ASCII only."""
    values: Mapping[bytes, bytes]
    """Patterns of the values that the decision has read, by the field's name in lower case; no blank at either end."""
    answer: Callable[[ResponseHead], SameAnswer | None]
    """Says what becomes of an answer's kind; None: it is to be asked each time."""
    note: Note


class Filter(Protocol):
    """Changes a body as it streams. Raises ProtocolError for a body that is not what it says: it is broken off."""

    def feed(self, data: bytes) -> bytes:
        """Take more of the body; return what can be sent."""

    def end(self) -> bytes:
        """Return what was held back, now that the body is whole."""


class Failure(StrEnum):
    """Why an exchange could not be completed with the upstream; the closed set of reasons."""

    CONNECT = "upstream_connect"
    CONNECT_TIMEOUT = "upstream_connect_timeout"
    FIRST_BYTE_TIMEOUT = "upstream_first_byte_timeout"
    """A request that was sent whole got no answer in time."""
    TIMEOUT = "upstream_timeout"
    """An answer that had begun, or a request, did not go on in time."""
    RESET = "upstream_reset"
    INVALID = "upstream_invalid_response"
    OVERLOAD = "overload"
    """A limit of ours was reached; the detail is its word."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its response, as the record of it. The relay fills it, the decider reads it."""

    connection: Connection
    name: str
    """The SNI or Host on which the connection was intercepted."""
    head: RequestHead
    context: Any = None
    body_whole: bool = False
    """What `request` is shown of the body is all of it."""
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    """Body bytes as on the wire."""
    upstream: Upstream | None = None
    started: float = 0.0
    """Seconds of time.monotonic(): uvloop's own clock counts whole milliseconds."""
    ended: float = 0.0
    reason: str = ""
    """Empty when all went well; else a Failure, or why the request was refused."""


class Decider(Protocol):
    """Whoever decides what the relay does."""

    def look(self, connection: Connection) -> Look:
        """Say how to treat a connection before its first bytes are known."""

    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        """Decide on the first bytes."""

    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        """Return how many bytes of the body `request` needs to see, at most; usually 0."""

    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        """Choose an upstream and the head it gets, or answer. `body`: what `body_wanted` asked for, or all there is."""

    def alike(self, connection: Connection, name: str) -> Hashable | None:
        """Return what requests on this connection have in common with those on others, as a key; None: nothing."""

    def same(self, exchange: Exchange, forward: Forward) -> Same | None:
        """Say which other requests, alike in connection, would be forwarded in this way; None where it can't be told.

        They are not asked for one by one then, nor are their answers where `Same.answer` knows them.
        """

    def response(self, exchange: Exchange, head: ResponseHead) -> ResponseHead | Gather:
        """Return the head that the client gets, with the body as it is; or ask to see the body."""

    def gathered(self, exchange: Exchange, head: ResponseHead, body: bytes) -> Answer:
        """Return what the client gets for an answer that was collected whole."""

    def overgrown(
        self, exchange: Exchange, head: ResponseHead, body_so_far: bytes
    ) -> tuple[ResponseHead, Filter | None]:
        """Return the head of an answer that is too long to be collected, and what its body streams through.

        The filter is given `body_so_far` too. Without one the body is passed as it is.
        """

    def failed(self, exchange: Exchange, failure: Failure, detail: str) -> Answer:
        """Answer for an upstream that did not."""

    def invalid(self, exchange: Exchange | None, status: int, detail: str) -> Answer:
        """Answer for a request that can't be understood (400, 408, 413, 431, 501)."""

    def record(self, exchange: Exchange) -> None:
        """Take note of a finished exchange: the access log and metrics."""

    def closed(  # noqa: PLR0917 - called in one place, in this order
        self, connection: Connection, verdict: Verdict, peeked: Peeked, reason: str, sent: int, received: int
    ) -> None:
        """Take note of a connection's end, for what `record` does not see: passes, handovers, refusals, TLS alerts.

        `sent` and `received` are bytes to and from the destination; `reason` is empty or a stable snake_case word, such
        as `tls_alert_unknown_ca`.
        """


type Dialled = Callable[[socket.socket | OSError], None]
type Dial = Callable[[Connection, Dialled], None]
"""Dial a connection's original destination without blocking; call back once with a connected non-blocking socket or
the error. The default dials `destination`; `kecs run` hands out sockets it dialled while it held the SYN."""
