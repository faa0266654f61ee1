"""The process of the certificate service: what it is told, what it watches, its ports and its end. An edge."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import uvloop

from kecs.certs import health, server
from kecs.certs.issuance import Policy
from kecs.certs.issuer_files import DIRECTORY, IssuerFiles
from kecs.certs.journal import Journal
from kecs.certs.kube import Kube
from kecs.certs.kube_async import AsyncKube
from kecs.certs.limits import Limiter
from kecs.certs.lines import Lines
from kecs.certs.reviewer import Reviewer
from kecs.certs.serving import LiveContext, issue
from kecs.certs.web import Site, everywhere, listen, serve, stopping
from kecs.core.errors import AuthorityError, ConfigError
from kecs.core.names import CERTS_SERVICE, SYSTEM_NAMESPACE, TOKEN_AUDIENCE

_LOOK_S: Final = 1.0
"""How often the mounted files are looked at: they are links into memory, and reading them costs little."""
_PORT: Final = 8443
_HEALTH_PORT: Final = 8081
_PORT_MAX: Final = 65535
_BURST: Final = 10
_BURST_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the environment says."""

    namespace: str
    directory: Path
    port: int
    health_port: int
    burst: int
    """Requests of one pod at once."""
    excluded_namespaces: tuple[str, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read POD_NAMESPACE and KECS_CERTS_{ISSUER_DIRECTORY,PORT,HEALTH_PORT,BURST,EXCLUDED_NAMESPACES}."""
        return cls(
            namespace=environ.get("POD_NAMESPACE") or SYSTEM_NAMESPACE,
            directory=Path(environ.get("KECS_CERTS_ISSUER_DIRECTORY") or DIRECTORY),
            port=_number(environ, "KECS_CERTS_PORT", _PORT, most=_PORT_MAX),
            health_port=_number(environ, "KECS_CERTS_HEALTH_PORT", _HEALTH_PORT, most=_PORT_MAX),
            burst=_number(environ, "KECS_CERTS_BURST", _BURST, most=_BURST_MAX),
            excluded_namespaces=tuple(filter(None, environ.get("KECS_CERTS_EXCLUDED_NAMESPACES", "").split(","))),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which sidecars call the service."""
        service = f"{CERTS_SERVICE}.{self.namespace}.svc"
        return (service, f"{service}.cluster.local")


def _number(environ: Mapping[str, str], name: str, usual: int, *, most: int) -> int:
    value = environ.get(name, "")
    if not value:
        return usual
    if not value.isdecimal() or int(value) > most:
        raise ConfigError(f"{name} is {value!r}, which is no number up to {most}", hint=f"leave it unset for {usual}")
    return int(value)


class _Running:
    """The parts of a running service."""

    def __init__(self, options: Options, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._names = options.names
        self._serving_failure = ""
        self.lines = Lines(clock=clock)
        self.journal = Journal(self.lines)
        self.files = IssuerFiles(options.directory)
        self.live = LiveContext()
        self.policy = Policy(system_namespace=options.namespace, excluded_namespaces=options.excluded_namespaces)

    def look(self) -> None:
        """Take what the authority has provided, and keep a serving certificate of it."""
        before = self.files.failure
        authority_before = self.files.authority
        if self.files.refresh() and self.files.authority is not None:
            self.journal.authority(self.files.authority)
        elif self.files.failure and self.files.failure != before:
            self.journal.event("issuer_unreadable", message=self.files.failure, in_use=authority_before is not None)
        authority, serving, now = self.files.authority, self.live.serving, self._clock()
        if authority is None or (serving is not None and not serving.due(now, authority.issuer_sha256)):
            return
        try:
            self.live.load(issue(authority, self._names, now))
            self._serving_failure = ""
        except AuthorityError as error:
            if error.message != self._serving_failure:
                self.journal.event("serving_certificate_failed", message=error.message, hint=error.hint)
            self._serving_failure = error.message

    def missing(self) -> tuple[str, ...]:
        """List what keeps the service from issuing."""
        authority = self.files.authority
        lacks = []
        if authority is None:
            lacks.append(self.files.failure)
        elif authority.not_after <= self._clock():
            lacks.append(f"the issuer ended at {authority.not_after.isoformat()}")
        if self.live.serving is None:
            lacks.append(self._serving_failure or "there is no serving certificate yet")
        return tuple(lacks)


async def _serve(options: Options) -> None:
    def clock() -> datetime:
        return datetime.now(UTC)

    loop = asyncio.get_running_loop()
    stop = stopping(loop)
    running = _Running(options, clock)
    running.look()
    service = server.Service(
        authority=lambda: running.files.authority,
        reviewer=Reviewer(kube=AsyncKube(Kube.load()), audience=TOKEN_AUDIENCE),
        journal=running.journal,
        clock=clock,
        policy=running.policy,
        limiter=Limiter(burst=options.burst),
    )
    host = everywhere()
    sites = [
        Site(app=server.application(service), listener=listen(host, options.port), tls=running.live.context),
        Site(
            app=health.application(missing=running.missing, metrics=running.journal.metrics),
            listener=listen(host, options.health_port),
        ),
    ]
    running.journal.event("serving", ports=[site.listener.getsockname()[1] for site in sites])
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(_look(running))
        await serve(sites, stop)
        looking.cancel()
    running.journal.event("stopped")
    running.lines.close()


async def _look(running: _Running) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        running.look()


def run(environ: Mapping[str, str] = os.environ) -> None:
    """Serve until SIGTERM."""
    options = Options.read(environ)
    uvloop.run(_serve(options))
