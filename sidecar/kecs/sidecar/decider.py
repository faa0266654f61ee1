"""The sidecar's decisions: which connections are intercepted, where their requests go, what is answered here.

A connection, by what was seen first (destination "given out" = by the DNS forwarder, for an AWS name):

destination     wire              name               verdict
--------------  ----------------  -----------------  ------------------------------------------------------------
metadata :80    (not looked at)                      served
any             TLS, HTTP, CONN.  AWS, passed host   pass
any             TLS               AWS, wants mTLS    refuse aws_name_wants_client_certificate
any             TLS               AWS, no valid      refuse no_certificate, certificate_not_valid: never pass
                                  intermediate now
any             TLS               AWS                terminate; handover where the engine is needed
any             HTTP, CONNECT     AWS                serve
given out       TLS               none               terminate with the name it was given out for
given out       HTTP              none               serve
given out       TLS, HTTP, CONN.  other              refuse other_name_at_aws_address
given out       other, silent                        refuse aws_address_other_protocol
loopback, not on 443 and 80: pass, but for CONNECT   (somebody's own server; an AWS name there is on purpose)
else                                                 pass
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple, Protocol, override

from kecs.aws import canonical
from kecs.aws.classify import body_wanted
from kecs.aws.head import Answer, RequestHead
from kecs.aws.hosts import is_aws_name, normalise, wants_client_certificate
from kecs.calls.context import CallContext, OwnContext
from kecs.calls.decider import CallDecider, utc_now
from kecs.calls.planning import Later
from kecs.calls.routes import ENGINE_FIELD, Routes
from kecs.relay.decide import (
    Connection,
    Exchange,
    Forward,
    Give,
    Handover,
    Look,
    Pass,
    Peeked,
    Refuse,
    Serve,
    Terminate,
    Verdict,
    Wire,
)
from kecs.sidecar import metadata
from kecs.sidecar.config import EngineMode, SidecarConfig
from kecs.sidecar.engine_hosts import matches
from kecs.sidecar.engine_origin import read_mark

REDIRECT: Final = "redirect"
ADMIN: Final = "admin"
PROBE: Final = "probe"
ENGINE: Final = "engine"

_HOSTS_KEPT: Final = 1024
_INTERCEPTED_PORTS: Final = frozenset({443, 80})
_HTTP_1: Final = frozenset({"http/1.1", "http/1.0"})
_NAMED: Final = frozenset({Wire.TLS, Wire.HTTP, Wire.CONNECT})


class Names(Protocol):
    """Who knows which addresses were given out for AWS names."""

    def name_of(self, address: str) -> str | None:
        """Return the name that an address was given out for."""


class Engine(Protocol):
    """The second engine, as the decider sees it."""

    secret: bytes
    """What requests on their way back carry."""

    def handover(self, connection: Connection) -> Handover | Give | None:
        """Say how a connection gets there, starting it where it does not run yet; None when it can't be had."""


class NoNames:
    """No address was given out."""

    def name_of(self, address: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Know nothing."""
        return None


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


@lru_cache(maxsize=_HOSTS_KEPT)
def _asked(field: bytes | None) -> tuple[str, bool]:
    """Return the Host field's name, and whether it is AWS's; it may be no name at all, but then it is not empty."""
    value = (field or b"").decode("latin-1").strip()
    name = value if value.startswith("[") else normalise(value.partition(":")[0]) or value
    return name, is_aws_name(name)


class _Judged(NamedTuple):
    """What a name and the protocols offered with it mean for every connection."""

    is_aws: bool
    passes: bool
    wants_client_certificate: bool
    needs_engine: bool


def _judge(config: SidecarConfig, name: str, alpn: tuple[str, ...]) -> _Judged:
    return _Judged(
        is_aws=is_aws_name(name),
        passes=config.passes(name),
        wants_client_certificate=wants_client_certificate(name, alpn),
        needs_engine=_needs_engine(config, name, alpn),
    )


def _needs_engine(config: SidecarConfig, name: str, alpn: tuple[str, ...]) -> bool:
    if config.engine is not EngineMode.OFF and matches(config.engine_hosts, name):
        return True
    match config.engine:
        case EngineMode.OFF:
            return False
        case EngineMode.INSPECT | EngineMode.WATCH:
            return True
        case EngineMode.ON_DEMAND:
            return bool(alpn) and _HTTP_1.isdisjoint(alpn)


class SidecarDecider(CallDecider):
    """See the module. It holds no sockets: only counts, and the clock it was given."""

    def __init__(
        self,
        config: SidecarConfig,
        *,
        names: Names | None = None,
        engine: Engine | None = None,
        log: Callable[[bytes], None] | None = None,
        log_later: Later | None = None,
        admin: Callable[[RequestHead], Answer] | None = None,
        probe: Callable[[RequestHead], Answer] | None = None,
        lack: Callable[[], str] = str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(Routes.of(config), config.accounts, log=log, log_later=log_later, clock=clock)
        self.config = config
        self._judged = lru_cache(maxsize=_HOSTS_KEPT)(partial(_judge, config))
        self._names = NoNames() if names is None else names  # one that has no names yet is false
        self._engine = engine
        self._own = {ADMIN: admin, PROBE: probe}
        self._lack = lack

    # connections

    @override
    def look(self, connection: Connection) -> Look:
        """Say how to treat a connection before its first bytes are known."""
        host, port = connection.destination
        if connection.origin != REDIRECT or metadata.serves(host, port):
            return Look.SERVE
        if self._names.name_of(host) is not None:
            return Look.WAIT
        return Look.PEEK if port in _INTERCEPTED_PORTS else Look.DIAL

    @override
    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        """Decide on the first bytes; the module's table."""
        verdict = self._decide(connection, peeked)
        self.tally.verdict(verdict)
        return verdict

    def _decide(self, connection: Connection, peeked: Peeked) -> Verdict:
        host, port = connection.destination
        given = self._names.name_of(host)
        named = peeked.wire in _NAMED
        own_server = _is_loopback(host) and port not in _INTERCEPTED_PORTS and peeked.wire is not Wire.CONNECT
        if named and self._judged(peeked.name, peeked.alpn).is_aws and not (own_server and given is None):
            return self._intercept(connection, peeked, peeked.name)
        if given is None:
            return Pass()
        if not named:
            return Refuse(reason="aws_address_other_protocol")
        if peeked.name or peeked.wire is Wire.CONNECT:
            return Refuse(reason="other_name_at_aws_address")
        return self._intercept(connection, peeked, given)

    def _intercept(self, connection: Connection, peeked: Peeked, name: str) -> Verdict:
        judged = self._judged(name, peeked.alpn)
        if judged.passes:
            return Pass()
        if peeked.wire is Wire.CONNECT:
            return Serve()
        if peeked.wire is Wire.TLS and judged.wants_client_certificate:
            return Refuse(reason="aws_name_wants_client_certificate")
        lack = self._lack() if peeked.wire is Wire.TLS else ""
        if lack:
            return Refuse(reason=lack)
        # the engine has the name from the client or not at all
        needs_engine = bool(peeked.name) and judged.needs_engine
        handover = self._engine.handover(connection) if self._engine is not None and needs_engine else None
        if handover is not None:
            return handover
        return Terminate(name=name) if peeked.wire is Wire.TLS else Serve()

    # requests

    @override
    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        """Return how much of the body classification needs."""
        host, port = connection.destination
        if connection.origin in self._own or (connection.origin == REDIRECT and metadata.serves(host, port)):
            return 0
        changed = canonical.body_wanted(head, self.routes.backend.profile)
        return changed or body_wanted(head, name=self._names.name_of(host) or "")

    @override
    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        """Choose an upstream and the head it gets, or answer."""
        connection, head = exchange.connection, exchange.head
        host, port = connection.destination
        if connection.origin in self._own:
            answer = self._own[connection.origin]
            return answer(head) if answer is not None else Answer(status=404)
        if connection.origin == REDIRECT and metadata.serves(host, port):
            exchange.context = OwnContext(address=host)
            return metadata.answer(host, head, config=self.config, now=self._clock())
        if connection.origin == ENGINE and not self._from_engine(exchange):
            exchange.reason = "not_from_engine"
            return Answer(status=403)
        return self._call(exchange, body)

    def _from_engine(self, exchange: Exchange) -> bool:
        """Say whether this comes from our engine, and note whose request it is."""
        # Any program on the machine may connect to loopback; who has not the secret is not our engine.
        marked = exchange.head.get(ENGINE_FIELD)
        origin = read_mark(marked, self._engine.secret) if marked is not None and self._engine is not None else None
        if origin is None:
            return False
        exchange.connection = replace(exchange.connection, client=origin.client, destination=origin.destination)
        return True

    def _call(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        connection, head = exchange.connection, exchange.head
        name = exchange.name or self._names.name_of(connection.destination.host) or ""
        asked, is_aws = _asked(head.get(b"host"))
        call = self._recall.classify(head, name=name, body=body)
        if not (is_aws if asked else is_aws_name(name)):
            exchange.context = CallContext(call=call, route=None)
            exchange.reason = "misdirected"
            return self._error(exchange, 421, f"this connection is for {name or 'AWS names'}, not for {asked!r}")
        return self._forward(exchange, call, head, body)

    @override
    def alike(self, connection: Connection, name: str) -> Hashable | None:
        """Return the name that was asked for: with it a head decides where it goes."""
        return name if name and connection.origin == REDIRECT and not metadata.serves(*connection.destination) else None

    @override
    def invalid(self, exchange: Exchange | None, status: int, detail: str) -> Answer:
        """Answer a request that can't be understood; those of the admin port are nobody's calls."""
        own = exchange is not None and exchange.connection.origin in self._own
        return super().invalid(None if own else exchange, status, detail)
