"""The gateway: relay, decisions, certificates and records, wired to one loop and to sockets that others have made."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from kecs.aws.head import Answer, RequestHead
from kecs.calls.accesslog import LogWriter, Record, timestamp
from kecs.calls.counts import Counts
from kecs.calls.decider import utc_now
from kecs.calls.exposition import render
from kecs.calls.reach import Reach
from kecs.calls.readiness import Check, described
from kecs.gateway.config import GatewayConfig
from kecs.gateway.decider import LISTENER, GatewayDecider
from kecs.relay.contexts import Contexts, Mint
from kecs.relay.relay import Relay

_JSON: Final = b"application/json"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_QUIET_S: Final = 0.0


class Gateway:
    """See the module. All methods belong to the loop's thread; sockets given to it are closed by it."""

    def __init__(
        self,
        config: GatewayConfig,
        mint: Mint,
        *,
        log_fd: int,
        names: tuple[str, ...] = (),
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.config = config
        self.loop = loop or asyncio.get_running_loop()
        self.log = LogWriter(self.loop, log_fd)
        self._clock = clock
        self._draining = False
        self._listeners = 0
        self.decider = GatewayDecider(
            config, own=self._own, names=names, log=self.log.put, log_later=self.log.later, clock=clock
        )
        self.contexts = Contexts(mint, clock=clock)
        self.relay = Relay(
            self.decider,
            contexts=self.contexts,
            config=config.relay,
            loop=self.loop,
            upstream_tls=_upstream_tls(config),
        )
        routes = self.decider.routes
        places = {name: place for name, place in routes.places().items() if place.host}
        self._reach = Reach(self.loop, self.relay.reach, places)

    def serve(self, sock: socket.socket) -> None:
        """Serve clients from a listening socket."""
        self._listeners += 1
        self.relay.listen(sock, origin=LISTENER)

    async def drain(self, deadline_s: float | None = None) -> None:
        """Let requests finish and serve new ones until the deadline, then close everything."""
        self._draining = True
        begun = self.loop.time()
        left_s = self.config.drain_timeout_s if deadline_s is None else deadline_s
        done = await self.relay.drain(left_s, quiet_s=_QUIET_S)
        if done.open or done.served or done.cut:
            facts = {"open": done.open, "served": done.served, "cut": done.cut}
            self._note("drained", facts | {"duration_ms": round((self.loop.time() - begun) * 1000)})
        self.close()

    def close(self) -> None:
        """Close everything; what the log still holds is written."""
        self._draining = True
        self.relay.close()
        self.log.close()

    def _own(self, head: RequestHead) -> Answer:
        """Answer what is asked of the gateway itself."""
        if head.method not in {b"GET", b"HEAD"}:
            return Answer(status=405, fields=((b"Allow", b"GET, HEAD"),))
        match head.target.partition(b"?")[0]:
            case b"/_kecs/health":
                return _json(200, self.health())
            case b"/_kecs/ready":
                health = self.health()
                return _json(200 if health["ready"] else 503, health)
            case b"/_kecs/metrics":
                ready = {check.name: check.holds for check in self._checks()}
                body = render(self.counts(), ready=ready, part="gateway")
                return Answer(status=200, fields=((b"Content-Type", _METRICS),), body=body)
        return _json(404, {"message": "one of /_kecs/health /_kecs/ready /_kecs/metrics"})

    def health(self) -> dict[str, Any]:
        """Say how it stands, and whom it sends calls to."""
        routes = self.decider.routes
        places = {"backend": routes.backend.url} if self.config.backend_host else {}
        if routes.controlplane is not routes.backend:
            places["controlplane"] = routes.controlplane.url
        return {"status": "running", "part": "gateway", "routes": places, **described(self._checks())}

    def _checks(self) -> list[Check]:
        listening = "" if self._listeners and not self._draining else "no connections are accepted"
        return [
            Check(name="listening", reason=listening),
            *(Check(name=name, reason=why, required=False) for name, why in self._reach.problems().items()),
        ]

    def counts(self) -> Counts:
        """Return what was counted so far, and what is open now."""
        now = {
            "connections": self.relay.occupancy.clients,
            "connections_limit": self.relay.occupancy.most,
            "requests": self.relay.waiting,
            "requests_limit": self.config.relay.requests_max,
        }
        counters = dict(self.relay.counters) | {"leaves_minted": self.contexts.minted}
        return Counts.of(self.decider.tally, counters, log_dropped=self.log.dropped, now=now)

    def _note(self, event: str, facts: Mapping[str, Any]) -> None:
        record: Record = {"time": timestamp(self._clock()), "event": event, **facts}
        self.log.write(record)


def _upstream_tls(config: GatewayConfig) -> Callable[[], ssl.SSLContext]:
    """Make the context for backends now where one is needed: roots can't be read when descriptors have run out."""
    if not (config.backend_tls or config.controlplane_tls):
        return ssl.create_default_context
    context = ssl.create_default_context()
    return lambda: context


def _json(status: int, facts: Mapping[str, Any]) -> Answer:
    body = json.dumps(facts, indent=2).encode() + b"\n"
    return Answer(status=status, fields=((b"Content-Type", _JSON),), body=body)
