"""The process of a cluster's authority: what it is told, its threads, its port and its end. An edge.

KECS_AUTHORITY_DOMAINS               what roots may sign for, separated by commas or spaces; must be set
KECS_AUTHORITY_ROOT_DAYS             days that a new root is valid; 3650
KECS_AUTHORITY_ROTATE_AT             share of its root's life after which it rotates by itself; 0.67
KECS_AUTHORITY_PROPAGATION_SECONDS   seconds that the old root is trusted on after a switch, at least; 180
KECS_AUTHORITY_HEALTH_PORT           port of /livez, /readyz and /metrics; 8081
POD_NAME, POD_NAMESPACE              this replica, and where everything is kept
"""

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from kecs.certs import health
from kecs.certs.chronicle import Chronicle
from kecs.certs.controller import Controller, Settings
from kecs.certs.derived import service_domains
from kecs.certs.kube import Kube
from kecs.certs.lease import Elector, Timing
from kecs.certs.loop import Loop, mirrors
from kecs.certs.rotation import Scope
from kecs.certs.web import Site, everywhere, listen, serve, stopping
from kecs.core.errors import ConfigError
from kecs.core.names import AUTHORITY_LEASE, SYSTEM_NAMESPACE

_PORT_MAX: Final = 65535
_DAYS: Final = (30.0, 36500.0)
_DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the environment says."""

    identity: str
    settings: Settings
    health_port: int
    timing: Timing = field(default_factory=Timing)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables; raise ConfigError naming the one that is wrong."""
        namespace = environ.get("POD_NAMESPACE") or SYSTEM_NAMESPACE
        scope = Scope(
            permitted=_domains(environ),
            services=service_domains(namespace),
            root_lifetime=timedelta(days=_number(environ, "ROOT_DAYS", 3650, _DAYS)),
        )
        settings = Settings(
            namespace=namespace,
            scope=scope,
            rotate_at=_number(environ, "ROTATE_AT", 0.67, (0.01, 0.99)),
            propagation=timedelta(seconds=_number(environ, "PROPAGATION_SECONDS", 180, (0, _DAY_S))),
        )
        # A process that is restarted in its pod is another one: what it was is no longer acting.
        identity = f"{environ.get('POD_NAME') or socket.gethostname()}-{secrets.token_hex(3)}"
        port = int(_number(environ, "HEALTH_PORT", 8081, (1, _PORT_MAX)))
        return cls(identity=identity, settings=settings, health_port=port)


def _domains(environ: Mapping[str, str]) -> tuple[str, ...]:
    name = "KECS_AUTHORITY_DOMAINS"
    found = tuple(dict.fromkeys(environ.get(name, "").replace(",", " ").split()))
    if not found:
        raise ConfigError(f"{name} is not set", hint="name what roots may sign for, e.g. amazonaws.com,api.aws")
    for domain in found:
        labels = domain.split(".")
        if not all(label and label.replace("-", "").isalnum() and label.isascii() for label in labels):
            raise ConfigError(f"{name} holds {domain!r}, which is no domain", hint="write it as amazonaws.com")
    return found


def _number(environ: Mapping[str, str], what: str, usual: float, bounds: tuple[float, float]) -> float:
    name = f"KECS_AUTHORITY_{what}"
    value = environ.get(name, "")
    if not value:
        return usual
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not bounds[0] <= number <= bounds[1]:
        raise ConfigError(f"{name} is {value!r}", hint=f"a number from {bounds[0]:g} to {bounds[1]:g}")
    return number


class Authority:
    """The parts of a running authority."""

    def __init__(self, kube: Kube, options: Options, *, chronicle: Chronicle | None = None) -> None:
        namespace = options.settings.namespace
        self.chronicle = chronicle or Chronicle(kube, namespace, identity=options.identity)
        self.elector = Elector(
            kube=kube,
            namespace=namespace,
            name=AUTHORITY_LEASE,
            identity=options.identity,
            timing=options.timing,
            told=self._told,
        )
        self.controller = Controller(kube, options.settings, self.chronicle, may_write=self.elector.check)
        self.loop = Loop(self.controller, self.elector, self.chronicle)
        self._mirrors = mirrors(kube, namespace, self.loop.wake)
        self._ended, self._let_go = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        for mirror in self._mirrors:
            mirror.start()

    @property
    def parts(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """What runs on threads of their own, until `close`."""
        return lambda: self.elector.run(self._let_go), self._run

    def close(self) -> None:
        """Finish the round, then let the lease go: whoever takes it finds nothing half done."""
        for mirror in self._mirrors:
            mirror.close()
        self._ended.set()
        self.loop.wake()

    def _run(self) -> None:
        try:
            self.loop.run(self._ended)
        finally:
            self._let_go.set()

    def _told(self, leads: bool) -> None:  # noqa: FBT001 - it is told one thing
        self.chronicle.leads(leads)
        self.loop.wake()


async def _keep(options: Options) -> None:
    stop = stopping(asyncio.get_running_loop())
    authority = Authority(Kube.load(), options)
    site = Site(
        app=health.application(missing=authority.loop.missing, metrics=authority.chronicle.metrics),
        listener=listen(everywhere(), options.health_port),
    )
    authority.chronicle.event("started", health_port=options.health_port, domains=options.settings.scope.all)
    authority.start()
    try:
        async with asyncio.TaskGroup() as group:
            for part in authority.parts:
                group.create_task(asyncio.to_thread(part))
            await serve([site], stop)
            authority.close()
    finally:
        authority.close()
    authority.chronicle.event("stopped")


def run(environ: Mapping[str, str] = os.environ) -> None:
    """Keep the authority until SIGTERM."""
    asyncio.run(_keep(Options.read(environ)))
