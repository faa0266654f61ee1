"""The control plane put together: store, API, reconciler, runtime, admin port, on one loop. An edge.

What ends it lets requests finish first, then writes what waits. Tasks go on: their runtime is only let go of.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn

from kecs.aws.accounts import Accounts
from kecs.calls.accesslog import LogWriter
from kecs.controlplane import neighbours
from kecs.controlplane.admin import Admin
from kecs.controlplane.api import App, Told
from kecs.controlplane.backup import exported, imported
from kecs.controlplane.clock import Clock, RealClock
from kecs.controlplane.config import IN_MEMORY, ControlPlaneConfig, RuntimeKind, kind_of
from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.health import Component
from kecs.controlplane.history import History, Retention
from kecs.controlplane.ids import RandomIds
from kecs.controlplane.metrics import CallTally, Measured, census, render
from kecs.controlplane.reconciler import Keeping, Reconciler, launches
from kecs.controlplane.runtime import Runtime
from kecs.controlplane.simulated import SimulatedRuntime
from kecs.controlplane.state import Changes
from kecs.controlplane.store import Store
from kecs.controlplane.targets import Targets
from kecs.controlplane.targets_client import EmulatorTargets
from kecs.controlplane.wire.requests import Identity
from kecs.core.errors import MachineError

_KEEP_ALIVE_S: Final = 600
_LOG_FD: Final = 2

type Sockets = tuple[socket.socket, socket.socket | None]
"""Those that listen: the API's and the admin port's, where there is one."""
type Log = Callable[[str, Mapping[str, Any]], None]


@contextlib.contextmanager
def log_lines(descriptor: int = _LOG_FD, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Log]:
    """Yield what writes events as JSON lines, from any thread; nothing ever waits for who reads them."""
    loop = asyncio.get_running_loop()
    home = threading.get_ident()
    writer = LogWriter(loop, descriptor)

    def log(event: str, facts: Mapping[str, Any]) -> None:
        moment = now().isoformat(timespec="milliseconds").removesuffix("+00:00")
        line = _line({"time": f"{moment}Z", "event": event, **facts})
        if threading.get_ident() == home:
            writer.put(line)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the process
                loop.call_soon_threadsafe(writer.put, line)

    try:
        yield log
    finally:
        writer.close()


def _line(record: dict[str, Any]) -> bytes:
    """Spell a record so that a pipe takes it whole: of what is too long, the end."""
    while len(line := json.dumps(record, default=str).encode() + b"\n") > select.PIPE_BUF:
        longest = max(record, key=lambda name: len(str(record[name])))
        said = str(record[longest])
        record[longest] = f"…{said[-(len(said) // 2) :]}"
    return line


class ControlPlane:
    """See the module. It belongs to one loop."""

    def __init__(
        self,
        config: ControlPlaneConfig,
        store: Store,
        runtime: Runtime,
        *,
        log: Log,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.store, self.runtime = store, runtime
        self._log = log
        self._began = time.monotonic()
        self._tally = CallTally()
        self._draining = False
        clock = clock or RealClock()
        history = _history(config, store)
        store.subscribe(history.changed)
        ids, keepers = RandomIds(), (_instances, lambda keeping: history.expired(keeping.now))
        self.reconciler = Reconciler(store, runtime, clock=clock, ids=ids, log=log, keepers=keepers)
        self._groups = EmulatorTargets(config.emulator)
        self._targets = Targets(store, self._groups, clock=clock, ids=ids, log=log)
        identity = Identity(accounts=Accounts.parse(config.accounts), account=config.account, region=config.region)
        self.api = App(store, self._groups, identity=identity, now=clock.now, told=self._told)
        self.admin = Admin(
            components=self.components,
            neighbours=self.neighbours,
            unready=self._unready,
            metrics=lambda: render(self.measured()),
            settings=config.described,
            backup=partial(exported, store),
            restore=lambda document, force: imported(store, document, force=force),
            uptime_s=lambda: time.monotonic() - self._began,
            version=importlib.metadata.version("kecs"),
        )

    # what is told

    def _told(self, told: Told) -> None:
        self._tally.add(told.operation or "unknown", told.code, told.duration_s, warnings=len(told.warnings))
        if told.error is not None:
            self._log("internal_error", told.fields)
        elif told.misfits:
            self._log("misfit", told.fields)
        elif told.warnings:
            self._log("warned", told.fields)

    def components(self) -> list[Component]:
        """Say how the parts of this process are."""
        store, reconciler = self.store.health(), self.reconciler.health()
        errors = dict(reconciler.errors)
        runtime_error = errors.pop("runtime", "") or str(getattr(self.runtime, "failure", ""))
        last = store.last_write_s
        return [
            Component(
                name="store",
                ok=store.ok,
                latency_ms=None if last is None else last * 1000,
                error=store.error,
                details={"path": store.path, "commits": store.commits, "waiting": store.waiting},
            ),
            Component(
                name="runtime",
                ok=reconciler.synced and not runtime_error,
                required=False,
                error=runtime_error or ("" if reconciler.synced else "it has not told yet what runs"),
                details={"kind": reconciler.runtime},
            ),
            Component(
                name="targets",
                ok=not self._targets.errors,
                required=False,
                error="; ".join(f"{group}: {error}" for group, error in self._targets.errors.items()),
            ),
            Component(
                name="reconciler",
                ok=not errors,
                required=False,
                error="; ".join(f"{name}: {error}" for name, error in errors.items()),
                details={"waiting": reconciler.waiting, "counts": dict(reconciler.counts)},
            ),
        ]

    async def neighbours(self) -> Sequence[Component]:
        """Ask those beside us how they are."""
        asked = [
            neighbours.look(name, url, "/_kecs/health")
            for name, url in (("emulator", self.config.emulator), ("gateway", self.config.gateway))
            if url
        ]
        return await asyncio.gather(*asked)

    def measured(self) -> Measured:
        """Return all counts as they are now."""
        store, reconciler = self.store.health(), self.reconciler.health()
        tasks, services, records = census(self.store.state)
        gauges = {
            "store_waiting": store.waiting,
            "reconciler_waiting": reconciler.waiting,
            "reconciler_synced": int(reconciler.synced),
        }
        return Measured(
            calls=self._tally,
            tasks=tasks,
            services=services,
            records=records,
            gauges=gauges if store.last_write_s is None else gauges | {"store_last_write_seconds": store.last_write_s},
            counters={"store_commits": store.commits, "store_transactions": store.transactions},
            reconciler=reconciler.counts,
        )

    def _unready(self) -> str:
        if self._draining:
            return "it ends"
        return "" if self.store.health().ok else f"the store can't keep changes: {self.store.health().error}"

    # life

    async def serve(self, sockets: Sockets, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop` is set; then let requests finish."""
        served = [(app, sock) for app, sock in zip((self.api, self.admin), sockets, strict=True) if sock is not None]
        servers = [_Server(_settings(app, self.config)) for app, _ in served]
        working = [asyncio.create_task(self.reconciler.run()), asyncio.create_task(self._targets.run())]
        serving = [
            asyncio.create_task(server.serve(sockets=[sock])) for server, (_, sock) in zip(servers, served, strict=True)
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.gather(*(server.begun.wait() for server in servers))
            ready()
            done, _ = await asyncio.wait((stopping, *working, *serving), return_when=asyncio.FIRST_COMPLETED)
            self._draining = True
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)
            for task in done - {stopping}:
                task.result()  # what ended by itself has failed
        finally:
            for task in (stopping, *working, *serving):
                task.cancel()
            await asyncio.gather(stopping, *working, *serving, return_exceptions=True)
            self._groups.close()
            await self.runtime.close()


def _history(config: ControlPlaneConfig, store: Store) -> History:
    """Return what lets go of what has been over for long enough."""
    kept = timedelta(hours=config.history_hours)
    return History(store.state, Retention(stopped_tasks=kept, deleted=kept))


def _instances(keeping: Keeping) -> Changes:
    """Keep the runtime's machines as container instances of every cluster."""
    return kept_instances(keeping.state, keeping.nodes, synced=keeping.synced, now=keeping.now, ids=keeping.ids)


class _Server(uvicorn.Server):
    """Leaves signals to the process, and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()


def _settings(app: Any, config: ControlPlaneConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(config.drain_timeout_s)),
    )


def opened(config: ControlPlaneConfig) -> Store:
    """Open the state; make its directory."""
    if config.data != IN_MEMORY:
        directory = Path(config.data).parent
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise MachineError(f"{directory} can't be made: {reason}", hint="name another with --data-dir") from error
    return Store.open(config.data)


def simulated(store: Store, clock: Clock) -> Runtime:
    """Return the runtime without a cluster."""
    return SimulatedRuntime(clock, known=partial(launches, store.state))


def runtime(config: ControlPlaneConfig, store: Store, clock: Clock, log: Log) -> Runtime:
    """Return what tasks run on. Raise ConfigError where that is to be a cluster, and none is known."""
    if kind_of(config.runtime, config.kubeconfig, os.environ) is RuntimeKind.SIMULATED:
        return simulated(store, clock)
    from kecs.controlplane.kubernetes.run import connected  # noqa: PLC0415 - boto3 and kubernetes take half a second

    return connected(kubeconfig=config.kubeconfig, emulator=config.emulator, pods=config.pods, log=log)


@asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """Yield what SIGTERM and SIGINT set."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def complain(message: str, hint: str) -> None:
    """Tell why the process ends."""
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
