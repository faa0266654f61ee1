"""The injector's process: what it is told, its threads, its ports and its end. An edge.

KECS_INJECTOR_CONFIG                  the document that the chart writes (`kecs.injector.document`)
KECS_INJECTOR_{PORT,HEALTH_PORT}      8443 and 8081
POD_NAME, POD_NAMESPACE               this replica, and where KECS runs
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

import uvloop

from kecs.certs import health
from kecs.certs.kube import Kube
from kecs.certs.lines import Lines
from kecs.certs.serving import LiveContext, Serving
from kecs.certs.web import Site, everywhere, listen, serve, stopping
from kecs.core.errors import ConfigError, KecsError
from kecs.core.names import SYSTEM_NAMESPACE
from kecs.injector import server
from kecs.injector.admission import AdmissionRequest
from kecs.injector.cluster import Cluster
from kecs.injector.config import Facts, Injection
from kecs.injector.document import Document
from kecs.injector.ephemeral import review_ephemeral
from kecs.injector.inject import review
from kecs.injector.journal import Journal
from kecs.injector.outcome import Outcome
from kecs.injector.registration import Registrar
from kecs.injector.verdict import Verdict, guarded

_PORT: Final = 8443
_HEALTH_PORT: Final = 8081
_PORT_MAX: Final = 65535
_VERSION_FIRST_S: Final = 1.0
_VERSION_AGAIN_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the environment says."""

    document: Document
    namespace: str
    instance: str
    port: int
    health_port: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables; raise ConfigError naming the one that is wrong."""
        path = environ.get("KECS_INJECTOR_CONFIG", "")
        try:
            text = Path(path).read_text(encoding="utf-8") if path else ""
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"KECS_INJECTOR_CONFIG: {path} can't be read: {error}") from error
        return cls(
            document=Document.parse(text, source=path or "KECS_INJECTOR_CONFIG"),
            namespace=environ.get("POD_NAMESPACE") or SYSTEM_NAMESPACE,
            instance=environ.get("POD_NAME", ""),
            port=_port(environ, "KECS_INJECTOR_PORT", _PORT),
            health_port=_port(environ, "KECS_INJECTOR_HEALTH_PORT", _HEALTH_PORT),
        )


def _port(environ: Mapping[str, str], name: str, usual: int) -> int:
    value = environ.get(name, "")
    if value and (not value.isdecimal() or int(value) > _PORT_MAX):
        raise ConfigError(f"{name} is {value!r}, which is no port", hint="1 to 65535")
    return int(value) if value else usual


def decide(asked: AdmissionRequest, facts: Facts, config: Injection) -> Outcome:
    """Choose the question: a pod that is made, or a container that `kubectl debug` adds."""
    if asked.subresource == "ephemeralcontainers":
        return review_ephemeral(asked.object, asked.old_object, facts, config, namespace=asked.namespace)
    return review(asked.object, facts, config, namespace=asked.namespace)


async def _serve(options: Options) -> None:
    loop = asyncio.get_running_loop()
    stop = stopping(loop)
    config = options.document.injection(version("kecs"), system_namespace=options.namespace)
    settings = options.document.registration(system_namespace=options.namespace)
    kube, live = Kube.load(), LiveContext()
    lines = Lines()
    journal = Journal(kube, lines, instance=options.instance)
    cluster = Cluster(kube, options.namespace)

    def load(serving: Serving) -> None:
        """Put a certificate into service on the loop's thread, where handshakes begin."""

        async def swap() -> None:
            live.load(serving)
            journal.certificate(serving.not_after)

        asyncio.run_coroutine_threadsafe(swap(), loop).result(10)

    registrar = Registrar(kube=kube, settings=settings, cluster=cluster, load=load, told=journal.event)
    cluster.changed = registrar.wake

    def verdict(asked: AdmissionRequest, facts: Facts) -> Verdict:
        return guarded(lambda request: decide(request, facts, config), asked)

    def missing() -> tuple[str, ...]:
        return (*cluster.missing(), *registrar.missing())

    webhook = server.Webhook(decide=verdict, view=cluster, journal=journal, fail_open=settings.fail_open)
    host = everywhere()
    sites = [
        Site(app=server.application(webhook), listener=listen(host, options.port), tls=live.context),
        Site(
            app=health.application(missing=missing, metrics=journal.metrics),
            listener=listen(host, options.health_port),
        ),
    ]
    ports = [site.listener.getsockname()[1] for site in sites]
    journal.event("serving", {"ports": ports, "version": config.version})
    for part in (journal, cluster, registrar):
        part.start()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask_version(cluster, journal))
        await serve(sites, stop)
        asking.cancel()
    for one in (registrar, cluster):
        one.close()
    journal.event("stopped", {})
    journal.close()
    lines.close()


async def _ask_version(cluster: Cluster, journal: Journal) -> None:
    """Keep the API server's version known; what was learned holds while it is away."""
    said = ""
    while True:
        try:
            await asyncio.to_thread(cluster.learn_version)
        except KecsError as error:
            if error.message != said:
                journal.event("version_unknown", {"message": error.message})
            said = error.message
            await asyncio.sleep(_VERSION_FIRST_S)
        else:
            await asyncio.sleep(_VERSION_AGAIN_S)


def run(environ: Mapping[str, str] = os.environ) -> None:
    """Serve until SIGTERM."""
    options = Options.read(environ)
    uvloop.run(_serve(options))
