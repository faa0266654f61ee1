"""The sidecar: relay, decisions, DNS, metadata and records, wired to one loop and to sockets that others have made."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kecs.aws.hosts import is_aws_name
from kecs.calls.accesslog import LogWriter, Record, timestamp
from kecs.calls.counts import Counts
from kecs.calls.decider import utc_now
from kecs.calls.exposition import CertificateCounts, render
from kecs.calls.reach import Reach
from kecs.calls.readiness import Check
from kecs.certs.leaf import Intermediate
from kecs.core.errors import AuthorityError
from kecs.relay.contexts import Contexts
from kecs.relay.decide import Address, Dial
from kecs.relay.original import from_getsockname, from_redirect
from kecs.relay.relay import Relay
from kecs.sidecar import certificate, dns_stream
from kecs.sidecar import renewal as renewals
from kecs.sidecar.admin import Admin
from kecs.sidecar.config import EngineMode, SidecarConfig
from kecs.sidecar.crew import Crew
from kecs.sidecar.decider import ADMIN, ENGINE, PROBE, SidecarDecider
from kecs.sidecar.decider import Engine as Handler
from kecs.sidecar.dns import Allocator, DnsForwarder, Resolvers
from kecs.sidecar.dns_stream import DnsStreams
from kecs.sidecar.effective import Effective
from kecs.sidecar.engine import Engine
from kecs.sidecar.renewal import Terms
from kecs.sidecar.renewal_loop import RenewalLoop, Source

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_OWN_ROOM: Final = 64
"""Connections to the admin port, and to the probe port: whatever clients do, these are answered."""


def _upstream_tls(config: SidecarConfig) -> Callable[[], ssl.SSLContext]:
    """Make the context for backends now where one is needed: roots can't be read when descriptors have run out."""
    if not (config.backend_tls or config.controlplane_tls):
        return ssl.create_default_context
    context = ssl.create_default_context()
    return lambda: context


class Sidecar:
    """See the module. All methods belong to the loop's thread; sockets given to it are closed by it.

    Without an intermediate, until the first `renew`, AWS names are refused; what is passed is passed already.
    """

    def __init__(
        self,
        config: SidecarConfig,
        intermediate: Intermediate | None,
        *,
        log_fd: int,
        dial: Dial | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], datetime] = utc_now,
        effective: Effective | None = None,
        names: Allocator | None = None,
        engine: Handler | None = None,
    ) -> None:
        self.config = config
        self._effective = effective or Effective(config=config, sources={})
        self._tried: tuple[Intermediate, str] | None = None
        self.loop = loop or asyncio.get_running_loop()
        self.allocator = Allocator() if names is None else names  # one that has no names yet is false
        self.log = LogWriter(self.loop, log_fd)
        self._intermediate = intermediate
        self._clock = clock
        self._draining = False
        self._listeners = 0
        self._forwarders: list[DnsForwarder] = []
        self._resolvers = Resolvers(_RESOLV_CONF)
        self._streams = DnsStreams(self.loop, self._answering)
        self._renewal: RenewalLoop | None = None
        self._crew: Crew | None = None
        self.engine: Engine | None = None
        if config.engine is not EngineMode.OFF and engine is None:
            self.engine = Engine(self.loop, intermediate, config=config, note=self._note)
        admin = self._admin()
        self.decider = SidecarDecider(
            config,
            names=self.allocator,
            engine=engine or self.engine,
            log=self.log.put,
            log_later=self.log.later,
            admin=admin.answer,
            probe=admin.probe,
            lack=lambda: certificate.lack(self._intermediate, clock()),
            clock=clock,
        )
        self.contexts = Contexts(self._mint, clock=clock)
        self.relay = Relay(
            self.decider,
            contexts=self.contexts,
            config=config.relay,
            loop=self.loop,
            dial=dial,
            upstream_tls=_upstream_tls(config),
        )
        self._reach = Reach(self.loop, self.relay.reach, self.decider.routes.places())
        if self.engine is not None:
            # what comes back was counted when it was handed over
            self.relay.listen(self.engine.way_back, origin=ENGINE, room=config.relay.connections_max)
        self._start_inspection()

    # sockets

    def serve_tcp(
        self,
        sock: socket.socket,
        original_destination: Callable[[socket.socket], Address] = from_getsockname,
        *,
        accepts: int = 64,
    ) -> None:
        """Serve redirected connections from a listening socket."""
        self._listeners += 1
        self.relay.listen(sock, original_destination=original_destination, accepts=accepts)

    def serve_by(self, listeners: Sequence[socket.socket], *, count: int, names_fd: int) -> None:
        """Have redirected connections served by so many workers; `names_fd` is the table of the names given out."""
        self._crew = Crew(
            self.loop,
            self.config,
            listeners,
            count=count,
            names_fd=names_fd,
            put=self.log.put,
            note=self._note,
            given=lambda sock: self.relay.adopt(sock, original_destination=from_redirect),
        )
        self._crew.start(self._intermediate)

    def serve_dns(self, sockets: Sequence[socket.socket]) -> None:
        """Answer DNS on UDP sockets that have packet info; other names go to the machine's resolvers."""
        forwarder = DnsForwarder(
            self.loop, sockets, self.allocator, resolvers=self._resolvers, intercepted=self.intercepted
        )
        self._forwarders.append(forwarder)
        forwarder.start()

    def serve_dns_streams(self, sock: socket.socket) -> None:
        """Answer DNS over TCP from a listening socket."""
        self._streams.listen(sock)

    def serve_dns_stream(self, sock: socket.socket) -> None:
        """Answer DNS over TCP on a connected, non-blocking socket."""
        self._streams.serve(sock)

    def serve_admin(self, sock: socket.socket) -> None:
        """Serve the admin port from a listening socket."""
        self.relay.listen(sock, origin=ADMIN, room=_OWN_ROOM)

    def serve_probes(self, sock: socket.socket) -> None:
        """Serve health alone from a listening socket."""
        self.relay.listen(sock, origin=PROBE, room=_OWN_ROOM)

    # the end

    async def drain(self, deadline_s: float | None = None) -> None:
        """Be unready, let requests finish and serve new ones until the deadline, then close everything.

        The engine serves as long as the relay. What was open or came is told in one event.
        """
        self._draining = True
        begun = self.loop.time()
        left_s = self.config.drain_timeout_s if deadline_s is None else deadline_s
        if self._crew is not None:
            await self._crew.drain(left_s)
            left_s = max(0.0, left_s - (self.loop.time() - begun))
        if self.engine is not None:
            self.engine.leave()
        done = await self.relay.drain(left_s, quiet_s=self.config.drain_quiet_s if self._crew is None else 0.0)
        if done.open or done.served or done.cut:
            facts = {"open": done.open, "served": done.served, "cut": done.cut}
            self._note("drained", facts | {"duration_ms": round((self.loop.time() - begun) * 1000)})
        self.close()

    def close(self) -> None:
        """Close everything; what the log still holds is written."""
        self._draining = True
        if self._renewal is not None:
            self._renewal.stop()
        for forwarder in self._forwarders:
            forwarder.close()
        self._forwarders.clear()
        self._streams.close()
        if self._crew is not None:
            self._crew.close()
        self.relay.close()
        if self.engine is not None:
            self.engine.close()
        self.log.close()

    # parts

    def renew(self, intermediate: Intermediate) -> None:
        """Go on with a new intermediate: handshakes from now on use leaves of it."""
        self._intermediate = intermediate
        self.contexts.clear()
        if self.engine is not None:
            self.engine.renew(intermediate)
        if self._crew is not None:
            self._crew.renew(intermediate)
        self._start_inspection()

    def follow(self, source: Source, terms: Terms | None = None) -> None:
        """Have intermediates issued from now on, the first at once."""
        self._renewal = RenewalLoop(
            source, loop=self.loop, use=self.renew, note=self._note, clock=self._clock, terms=terms
        )
        self._renewal.start()

    def _start_inspection(self) -> None:
        if self.engine is not None and self.config.engine in {EngineMode.INSPECT, EngineMode.WATCH}:
            self.engine.wanted()  # whoever looks wants to see the page before the first call

    def _admin(self) -> Admin:
        return Admin(
            checks=self._checks, metrics=self._metrics, settings=self._settings, certificates=self._certificates
        )

    def _checks(self) -> list[Check]:
        serves = self._listeners or self._crew is not None
        listening = "" if serves and not self._draining else "no connections are accepted"
        if self._crew is not None and not listening:
            listening = self._crew.unable()
        needed = self.config.ready_needs_backend
        return [
            Check(name="listening", reason=listening),
            Check(name="certificate", reason=self._unable()),
            *(Check(name=name, reason=why, required=needed) for name, why in self._reach.problems().items()),
        ]

    def _unable(self) -> str:
        """Say what keeps leaves from being signed; empty when one was, with the intermediate in use."""
        now, intermediate = self._clock(), self._intermediate
        problem = certificate.problem(intermediate, self._trouble(), now)
        if problem or intermediate is None:
            return problem
        if self._tried is None or self._tried[0] is not intermediate:
            self._tried = intermediate, certificate.trial(intermediate, now)
        return self._tried[1]

    def _trouble(self) -> str:
        trouble = self._renewal.state.trouble if self._renewal else None
        return trouble.message if trouble else ""

    def counts(self) -> Counts:
        """Return what was counted so far, and what is open now, workers included."""
        now = {"connections": self.relay.occupancy.clients, "requests": self.relay.waiting}
        if self._crew is None:
            most = {"connections_limit": self.relay.occupancy.most, "requests_limit": self.config.relay.requests_max}
            now |= most | {"workers": 1}
        counts = Counts.of(self.decider.tally, self._counters(), log_dropped=self.log.dropped, now=now)
        if self._crew is not None:
            counts.add(self._crew.counts())
        return counts

    def report(self) -> dict[str, Any]:
        """Say how this worker stands, to its supervisor."""
        held = self._intermediate
        certificate = {
            "serial_number": f"{held.signer.certificate.serial_number:x}" if held else None,
            "not_after": held.not_after.isoformat() if held else None,
            "leaves_minted": self.contexts.minted,
        }
        counts = self.counts()
        del counts.now["workers"]
        return {"counts": counts.plain(), "certificate": certificate, "able": self._unable()}

    def _metrics(self) -> bytes:
        certificates = CertificateCounts(
            not_after=self._intermediate.not_after if self._intermediate else None,
            renewals=dict(self._renewal.results) if self._renewal else {},
        )
        return render(self.counts(), certificates, {check.name: check.holds for check in self._checks()})

    def _settings(self) -> dict[str, Any]:
        in_force = {
            "connections_max": self.relay.occupancy.most,
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "workers": self._crew.count if self._crew is not None else 1,
        }
        return {"settings": self._effective.described(), "in_force": in_force}

    def _mint(self, names: tuple[str, ...]) -> tuple[bytes, bytes, datetime]:
        if self._intermediate is None:
            raise AuthorityError("there is no intermediate yet", hint="the decider refuses such connections")
        return self._intermediate.mint(names, self._clock())

    def intercepted(self, name: str) -> bool:
        """Say whether the DNS forwarder answers a name itself."""
        # What is passed must reach its real address.
        return self.config.dns_capture and is_aws_name(name) and not self.config.passes(name)

    def _answering(self, sock: socket.socket) -> Coroutine[Any, Any, None]:
        found = self._resolvers
        return dns_stream.serve(
            sock, self.allocator, intercepted=self.intercepted, servers=found.servers, search=found.search
        )

    def _note(self, event: str, facts: Mapping[str, Any]) -> None:
        record: Record = {"time": timestamp(self._clock()), "event": event, **facts}
        self.log.write(record)

    def _counters(self) -> dict[str, int]:
        found = dict(self.relay.counters)
        for counters in (*(one.counters for one in self._forwarders), self._streams.counters):
            for key, count in counters.items():
                found[f"dns_{key}"] = found.get(f"dns_{key}", 0) + count
        if self.engine is not None:
            found |= {f"engine_{key}": count for key, count in self.engine.counters.items()}
        return found | {"leaves_minted": self.contexts.minted, "dns_names": len(self.allocator)}

    def _certificates(self) -> dict[str, Any]:
        told = certificate.described(self._intermediate, self._clock())
        renewal = renewals.described(self._renewal.state) if self._renewal else {}
        if self._crew is None:
            return told | renewal | {"leaves_minted": self.contexts.minted}
        workers = self._crew.described()
        minted = self.contexts.minted + sum(one.get("leaves_minted", 0) for one in workers)
        return told | renewal | {"leaves_minted": minted, "workers": workers}
