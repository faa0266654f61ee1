"""A relay and the second engine on one loop, and a decider that changes nothing: what differs is the proxy's doing."""

import asyncio
import select
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, override

from conformance.ends import PATIENCE_S, End, TlsEnd
from conformance.playbook import NAME, Way
from relay_lab import Script
from sidecar_lab import configuration

from kecs.aws.head import Answer, RequestHead
from kecs.aws.hosts import SUFFIXES
from kecs.calls.outages import outage
from kecs.calls.routes import ENGINE_FIELD
from kecs.certs.authority import Signer, certificate_pem, issue_intermediate, issue_issuer, issue_root, new_key
from kecs.certs.leaf import Intermediate
from kecs.relay.contexts import Contexts
from kecs.relay.decide import (
    Address,
    Connection,
    Exchange,
    Failure,
    Forward,
    Look,
    Peeked,
    Serve,
    Terminate,
    Upstream,
    Verdict,
)
from kecs.relay.relay import Relay, RelayConfig
from kecs.sidecar.engine import Engine
from kecs.sidecar.engine_origin import read_mark

_HEAD_MAX = 65536
_BACK = "engine"
_SILENCE_S = 2.0
"""Longer than a backend that is to be the first to speak may need here."""


@dataclass
class Unchanged(Script):
    """Everything is forwarded as it is."""

    engine: Engine | None = None
    way: Way = Way.PLAIN

    @override
    def look(self, connection: Connection) -> Look:
        plain = connection.origin == _BACK or self.way in {Way.PLAIN, Way.LOOKED_AT}
        return Look.SERVE if plain else Look.PEEK

    @override
    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        if self.engine is not None and self.way in {Way.ENGINE, Way.ENGINE_H2}:
            return self.engine.handover(connection) or Serve()
        return Terminate(name=peeked.name)

    @override
    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        return 1 << 16 if self.way is Way.LOOKED_AT else 0

    @override
    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        head = exchange.head
        if exchange.connection.origin == _BACK:
            mark = head.get(ENGINE_FIELD) or b""
            if self.engine is None or read_mark(mark, self.engine.secret) is None:
                return Answer(status=403)
            head = head.with_fields(drop=(ENGINE_FIELD.lower(),))
        if head.get(b"host") not in {NAME, None}:
            return Answer(status=421)
        return Forward(upstream=self.upstream, head=head)

    @override
    def failed(self, exchange: Exchange, failure: Failure, detail: str) -> Answer:
        return Answer(status=outage(failure).status, body=f"{failure}: {detail}".encode())


def _authority() -> tuple[str, Intermediate]:
    """Return a root and an intermediate of it, as a pod has one."""
    now = datetime.now(UTC)
    root = issue_root(now, permitted=SUFFIXES)
    issuer, key = issue_issuer(root, now), new_key()
    signer = Signer(certificate=issue_intermediate(issuer, key.public_key(), now, subject="conformance"), key=key)
    return certificate_pem(root.certificate).decode(), Intermediate(signer=signer, above=(issuer.certificate,))


class Lab:
    """Both engines, and whatever backend a case brings."""

    def __init__(self, *, engine: bool, **limits: Any) -> None:
        self.decider = Unchanged(upstream=Upstream(host="127.0.0.1", port=1))
        self.notes: list[str] = []
        self._with_engine = engine
        self._limits = limits
        self._root, self._intermediate = _authority()
        self._trap = socket.create_server(("127.0.0.1", 0))
        """The original destination of everything. Nobody is to connect to it."""
        self._started, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._address = Address("", 0)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        limits = {
            "head_bytes_max": _HEAD_MAX,
            "head_fields_max": 1000,
            "peek_timeout_s": PATIENCE_S,
            "continue_timeout_s": _SILENCE_S,
            **self._limits,
        }
        contexts = Contexts(lambda names: self._intermediate.mint(names, datetime.now(UTC)))
        relay = Relay(self.decider, contexts=contexts, config=RelayConfig(**limits))
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._address = Address(*listener.getsockname()[:2])
        relay.listen(listener, original_destination=lambda _: Address(*self._trap.getsockname()[:2]))
        engine = None
        if self._with_engine:
            engine = self.decider.engine = Engine(
                self._loop,
                self._intermediate,
                config=configuration(),
                note=lambda event, facts: self.notes.append(f"{event} {dict(facts)}"),
            )
            relay.listen(engine.way_back, origin=_BACK)
        self._started.set()
        await self._stop.wait()
        relay.close()
        if engine is not None:
            engine.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        with self._trap:
            assert not select.select([self._trap], [], [], 0)[0], "the original destination was dialled"

    def towards(self, port: int, way: Way) -> None:
        """Have further requests go to a backend, by a way."""

        async def change() -> None:
            self.decider.upstream = Upstream(host="127.0.0.1", port=port)
            self.decider.way = way

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(PATIENCE_S)

    def connect(self, way: Way) -> End:
        """Connect as an intercepted client."""
        sock = socket.create_connection(self._address, PATIENCE_S)
        if way in {Way.PLAIN, Way.LOOKED_AT}:
            return End(sock)
        return TlsEnd(sock, self._root, NAME, [b"h2"] if way is Way.ENGINE_H2 else [b"http/1.1"])
