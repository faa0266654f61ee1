"""The gateway's decisions: whom a request at its own name is for, and how addresses are spelled for who asked.

A connection, by its first bytes:

wire      verdict
--------  ------------------------------------------------------------------
TLS       terminate, where the name is one that a leaf is made for
HTTP      serve
else      refuse: nothing but HTTP and TLS is spoken here

A request, the first row that holds:

is about                                    goes to
------------------------------------------  ---------------------------------------------------------
/_kecs/…, or / from a browser               answered here
LocalStack's own paths and names            the backend, as it is
ECS                                         the control plane
another service                             the backend, in its form
nothing tells, and it can be S3's           the backend, as S3's: buckets are asked for without a word more
nothing tells, or there is no backend        refused, 501
"""

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Final, override

from kecs.aws import canonical
from kecs.aws.call import Call, Protocol
from kecs.aws.canonical_types import renamed
from kecs.aws.classify import body_wanted
from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.aws.hosts import parse_host
from kecs.aws.local_names import Asked, asked, base_of, is_local_name, name_for, spelled
from kecs.calls.context import CallContext, OwnContext
from kecs.calls.decider import NOT_IN_BACKEND, CallDecider, utc_now
from kecs.calls.planning import Later
from kecs.calls.routes import Routes
from kecs.gateway.config import GatewayConfig
from kecs.relay.decide import (
    Connection,
    Exchange,
    Forward,
    Gather,
    Look,
    Peeked,
    Refuse,
    Serve,
    Terminate,
    Verdict,
    Wire,
)

LISTENER: Final = "gateway"
"""The origin of connections."""
LOCAL_NAME: Final = "localhost"
"""Whom a client means that sends no name with its handshake."""

_OWN: Final = b"/_kecs/"
_PASSED: Final = (b"/_localstack/", b"/_aws/", b"/_ministack/", b"/moto-api/", b"/_pods/", b"/_extension/")
"""Paths that backends have for themselves."""
_NO_BACKEND: Final = "KECS runs without an emulator here: only ECS is answered (localstack.enabled is false)"
_HINT: Final = (
    b"This is the KECS gateway: one endpoint for all of AWS.\n\n"
    b"    export AWS_ENDPOINT_URL=http://localhost:4566\n"
    b"    aws ecs list-clusters\n\n"
    b"Health: /_kecs/health\n"
)


class GatewayDecider(CallDecider):
    """See the module. It holds no sockets: only counts, and the clock it was given."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        own: Callable[[RequestHead], Answer],
        names: tuple[str, ...] = (),
        log: Callable[[bytes], None] | None = None,
        log_later: Later | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(
            Routes.of(config), config.accounts, log=log, log_later=log_later, clock=clock, verdict="forward"
        )
        self.config = config
        self._own = own
        self._names = names

    # connections

    @override
    def look(self, connection: Connection) -> Look:
        """Wait for the client's first bytes: it speaks first in HTTP and in TLS."""
        return Look.WAIT

    @override
    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        """Decide on the first bytes; the module's table."""
        verdict = self._decide(peeked)
        self.tally.verdict(verdict)
        return verdict

    def _decide(self, peeked: Peeked) -> Verdict:
        match peeked.wire:
            case Wire.HTTP:
                return Serve()
            case Wire.TLS if not peeked.name or is_local_name(peeked.name, self._names):
                return Terminate(name=peeked.name or LOCAL_NAME)
            case Wire.TLS:
                return Refuse(reason="name_is_not_the_gateways")
            case _:
                return Refuse(reason="neither_http_nor_tls")

    # requests

    @override
    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        """Return how much of the body classification needs."""
        if head.target.startswith((_OWN, *_PASSED)):
            return 0
        name = asked(_host(head)).name
        changed = canonical.body_wanted(_with_host(head, name) if name else head, self.routes.backend.profile)
        return changed or body_wanted(head, name=name)

    @override
    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        """Choose an upstream and the head it gets, or answer; the module's table."""
        head = exchange.head
        if head.target.startswith(_OWN):
            exchange.context = OwnContext(address=_path(head), event="gateway")
            return self._own(head)
        found = asked(_host(head))
        if (found.foreign or head.target.startswith(_PASSED)) and not self.config.backend_host:
            exchange.context = OwnContext(address=_path(head), event="passed")
            return Answer(status=404, fields=((b"Content-Type", b"text/plain"),), body=f"{_NO_BACKEND}\n".encode())
        if found.foreign or head.target.startswith(_PASSED):
            exchange.context = OwnContext(address=_path(head), event="passed")
            return Forward(upstream=self.routes.backend.upstream, head=head, context=exchange.context)
        return self._call(exchange, found, body)

    def _call(self, exchange: Exchange, found: Asked, body: bytes) -> Forward | Answer:
        head = _with_host(exchange.head, found.name) if found.name else exchange.head
        call = self._recall.classify(head, name=found.name, body=body)
        if call.service == "s3" and _is_a_bucket(found):
            found, head = Asked(name="", labels=found.labels), exchange.head
        if not found.name and not call.service and _can_be_s3(head, call, found.labels):
            if head.target == b"/" and not found.labels and head.method in {b"GET", b"HEAD"}:
                exchange.context = OwnContext(address="/", event="gateway")
                return Answer(status=200, fields=((b"Content-Type", b"text/plain; charset=utf-8"),), body=_HINT)
            head = _with_host(head, name_for(_s3(self.config.region), found.labels))
            call = self._recall.classify(head, body=body)
        call = call if call.region else call._replace(region=self.config.region)
        if call.service and not found.name:
            name = name_for(call, found.labels)
            head = _with_host(exchange.head, name) if name else head
            call = call._replace(host=name or call.host)
            if call.service == "s3":  # where the bucket stands decides what it is about
                call = self._recall.classify(head, body=body)._replace(region=call.region)
        if call.service and not self.config.backend_host and self.routes.choose(call.service) is self.routes.backend:
            exchange.context = CallContext(call=call, route=None)
            exchange.reason = NOT_IN_BACKEND
            return self._error(exchange, 501, f"{call.service}: {_NO_BACKEND}")
        made = self._forward(exchange, call, head, body)
        context = exchange.context
        if isinstance(context, CallContext) and not _is_aws(found):
            context.base = base_of(_field(exchange.head), secure=_is_secure(exchange))
        return made

    @override
    def alike(self, connection: Connection, name: str) -> Hashable | None:
        """Say that nothing is known of requests beforehand: their Host tells too little."""
        return None

    # responses

    @override
    def response(self, exchange: Exchange, head: ResponseHead) -> ResponseHead | Gather:
        """Return the head that the client gets, with addresses that lead here."""
        made = super().response(exchange, head)
        context = exchange.context
        if not isinstance(context, CallContext) or context.base is None:
            return made
        if isinstance(made, Gather):
            return made._replace(head=_located(made.head, context))
        return _located(made, context)


def _located(head: ResponseHead, context: CallContext) -> ResponseHead:
    value = head.get(b"location")
    if value is None or context.base is None:
        return head
    told = spelled(value.decode("latin-1"), context.base).encode("latin-1", "replace")
    return head if told == value else head.with_fields(drop=(b"location",), add=((b"Location", told),))


def _field(head: RequestHead) -> str:
    return (head.get(b"host") or b"").decode("latin-1")


def _host(head: RequestHead) -> str:
    field = _field(head)
    return field if field.startswith("[") else field.partition(":")[0]


def _path(head: RequestHead) -> str:
    return head.target.partition(b"?")[0].decode("latin-1")


def _with_host(head: RequestHead, name: str) -> RequestHead:
    return RequestHead(method=head.method, target=head.target, fields=renamed(head.fields, name.encode()))


def _is_a_bucket(found: Asked) -> bool:
    """Tell whether labels that name another service are a bucket: what is signed for S3 means one by them."""
    host = parse_host(found.name) if found.name and found.labels else None
    return host is not None and "s3" not in host.services


def _is_aws(found: Asked) -> bool:
    """Tell whether the client asked by AWS's own name: then AWS's names are what it expects."""
    return bool(found.name) and not found.labels


def _is_secure(exchange: Exchange) -> bool:
    return exchange.connection.secure


def _s3(region: str) -> Call:
    return Call(service="s3", region=region, operation="", protocol=Protocol.REST_XML, host="")


def _can_be_s3(head: RequestHead, call: Call, labels: str) -> bool:
    """Tell whether a request of which nothing is known can be for a bucket: no API but S3's is asked without a sign."""
    if call.signing_name or head.get(b"x-amz-target") is not None or head.get(b"smithy-protocol") is not None:
        return False
    return bool(labels) or head.target.startswith(b"/")
