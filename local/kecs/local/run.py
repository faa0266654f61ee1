"""The edge of `kecs run`: brings up what a run needs, runs the command, takes everything down again.

Order matters. The emulator, which is slowest, is started first and comes up while the rest is made; the namespace is
made before any thread exists, because only a single-threaded process may make or join a user namespace.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kecs.aws.hosts import SUFFIXES
from kecs.certs.leaf import Intermediate
from kecs.certs.state import Authority
from kecs.core import names
from kecs.core.backends import BackendProfile
from kecs.core.errors import BackendError, UsageError
from kecs.emulator.backend import Backend, face
from kecs.local import children, inspection, namespace, processes, publish, reporter, rundir, trust
from kecs.local.authority import Embedded
from kecs.local.children import Child
from kecs.local.ecs import OnDemand, on_demand
from kecs.local.environment import command_environment, region_of
from kecs.local.namespace import Namespace
from kecs.local.options import BACKEND, RunOptions
from kecs.local.orders import Orders
from kecs.local.renewal import Renewal, spelled
from kecs.local.running import registered
from kecs.local.trust import Trust
from kecs.relay.config import RelayConfig
from kecs.sidecar.config import SidecarConfig

_START_S = 60.0


def _age_s() -> float:
    """Return how long ago the kernel started this process (proc(5), field 22 of stat: clock ticks since boot)."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Timings:
    """How long each part of the start took, in milliseconds. Parts overlap."""

    started: float = field(default_factory=lambda: time.monotonic() - _age_s())
    """When this process began, which is when the command was typed."""
    parts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts["loading"] = (time.monotonic() - self.started) * 1000

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time one part."""
        before = time.monotonic()
        yield
        self.parts[name] = (time.monotonic() - before) * 1000

    def __str__(self) -> str:
        total = (time.monotonic() - self.started) * 1000
        spent = ", ".join(f"{name} {part:.0f}" for name, part in self.parts.items())
        return f"ready in {total:.0f} ms: {spent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Emulator:
    """The embedded emulator, and where it listens."""

    child: Child
    address: Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """What is up when the command starts."""

    namespace: Namespace
    sidecar: Child
    reporter: reporter.Reporter


def run(options: RunOptions, base: Mapping[str, str]) -> int:
    """Run the command; return its exit code. Raises KecsError when it can't be started."""
    timings = Timings()
    variables = {**base, **options.env}
    processes.find_program(options.command[0], path=variables.get("PATH"), cwd=_working_directory())
    backend = Backend.parse(options.backend) if options.backend else None
    with ExitStack() as stack:
        log = stack.enter_context(reporter.opened_log(options))
        inspection.settings(options)  # so that nothing is made where a file can't be read
        stack.enter_context(inspection.recorded(options))
        listeners = [(listener, one.inside_port) for one in options.publish for listener in publish.bind(one)]
        directory = stack.enter_context(rundir.run_directory())
        emulator = stack.enter_context(_emulator(options.account)) if backend is None else None
        authority = Embedded.of(options.certs, base)
        inside, told = _namespace_and_trust(stack, directory, authority, options, base, timings=timings)
        region = options.region or region_of(variables, _aws_config(variables)) or names.DEFAULT_REGION
        notes = list(told.notes)
        address = backend or _address(emulator)
        plane, controlplane = _controlplane(stack, options, address, region)
        config = _config(options, address, controlplane, region, notes)
        with timings.part("relay"):
            running = _start(stack, inside, log, options, _orders(options, config, told, inside, listeners))
        if inspection.wanted(options):
            with timings.part("engine"):
                inspection.await_engine(running.reporter, options)
        renewal = _renewal(options, authority, told, running.sidecar)
        stack.callback(renewal.stop)  # before the sidecar's pipe is closed
        if plane is not None:
            plane.start()
        for listener, _ in listeners:
            listener.close()
        if emulator is not None:
            with timings.part("emulator"):
                emulator.child.wait_ready(_START_S)
        environment = command_environment(
            base, trust=told.variables, region=region, suffixes=SUFFIXES, extra=options.env
        )
        _say(options, [*notes, *environment.notes, *([str(timings)] if options.timings else [])])
        watched: list[Child | OnDemand] = [running.sidecar]
        watched += [emulator.child] if emulator else []
        watched += [plane] if plane else []
        return _command(options, running, renewal, environment.variables, watched)


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError as error:
        raise UsageError(
            f"the working directory can't be entered: {os.strerror(error.errno or 0).lower()}",
            hint="it was removed or moved away; `cd` to one that is there",
        ) from error


def _namespace_and_trust(
    stack: ExitStack,
    directory: Path,
    authority: Embedded,
    options: RunOptions,
    base: Mapping[str, str],
    *,
    timings: Timings,
) -> tuple[Namespace, Trust]:
    """Make what clients trust while a keeper makes the namespace."""
    making = namespace.begin(namespace.Options(directory=directory, keep=options.keep))
    try:
        with timings.part("authority"):
            now = _utc_now()
            registration = stack.enter_context(registered(authority.directory, options.command, now))
            told = trust.prepared(directory / "trust", authority, registration, {**base, **options.env}, now)
    except BaseException:
        making.abandon()
        raise
    with timings.part("namespace"):
        inside = stack.enter_context(making.ready())
    return inside, told


def _orders(
    options: RunOptions,
    config: SidecarConfig,
    told: Trust,
    inside: Namespace,
    listeners: Sequence[tuple[socket.socket, int]],
) -> Orders:
    signed = spelled(told.intermediate)
    return Orders(
        sidecar=config.to_json(),
        chain=signed["chain"],
        key=signed["key"],
        sockets=inside.sockets.describe(),
        publish=tuple((listener.fileno(), port) for listener, port in listeners),
        published=tuple((one.host_port, one.inside_port) for one in options.publish),
    )


def _renewal(options: RunOptions, authority: Embedded, told: Trust, sidecar: Child) -> Renewal:
    """Have the sidecar get a new intermediate whenever it is time."""

    def hand_over(found: Authority, intermediate: Intermediate) -> None:
        sidecar.tell(json.dumps(spelled(intermediate)))
        told.registration.serves(found.generation)

    return Renewal(
        source=authority,
        held=told.held,
        terms=told.terms,
        hand_over=hand_over,
        tell=lambda sentence: _say(options, [sentence]),
        clock=_utc_now,
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _command(
    options: RunOptions,
    running: _Running,
    renewal: Renewal,
    variables: Mapping[str, str],
    watched: Sequence[Child | OnDemand],
) -> int:
    """Start the command, wait for its end, and tell what happened."""
    with processes.held():
        running.namespace.start(options.command, env=variables)
        running.reporter.start()
        renewal.start()
        code = running.namespace.wait()
    notes = [*(note for child in watched for note in child.obituary()), *running.namespace.notes()]
    running.namespace.close()
    renewal.stop()
    running.sidecar.stop()
    running.reporter.finish()
    _say(options, [*notes, *running.reporter.notes()])
    reporter.show_summary(running.reporter.tally.rows(), options.summary)
    return code


def _say(options: RunOptions, notes: list[str] | tuple[str, ...]) -> None:
    if not options.quiet:
        for note in notes:
            reporter.tell(f"kecs: {note}")


@contextmanager
def _emulator(account: str) -> Iterator[_Emulator]:
    """Start the embedded emulator; calls wait in its socket's backlog until it is ready."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        child = children.start(
            "emulator", "kecs.emulator", ["--fd", str(listener.fileno()), "--account", account], [listener.fileno()]
        )
        host, port = listener.getsockname()
    try:
        yield _Emulator(child=child, address=Backend(scheme="http", host=host, port=port))
    finally:
        child.stop()


def _address(emulator: _Emulator | None) -> Backend:
    if emulator is None:
        raise BackendError("there is no backend", hint="give --backend URL")
    return emulator.address


def _controlplane(
    stack: ExitStack, options: RunOptions, emulator: Backend, region: str
) -> tuple[OnDemand | None, Backend | None]:
    """Return who answers ECS, where that is ours, and where; None for the emulator."""
    if options.controlplane == BACKEND:
        return None, None
    if options.controlplane:
        return None, Backend.parse(options.controlplane, source="--controlplane")
    plane = stack.enter_context(on_demand(emulator, region=region, account=options.account, accounts=options.accounts))
    return plane, plane.address


def _aws_config(variables: Mapping[str, str]) -> str:
    path = Path(variables.get("AWS_CONFIG_FILE") or Path(variables.get("HOME", "/")) / ".aws" / "config")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _config(
    options: RunOptions, backend: Backend, controlplane: Backend | None, region: str, notes: list[str]
) -> SidecarConfig:
    """Put together what the sidecar is told. `notes` gains what the person should know of the backend."""
    profile, found = _profile(options, backend, notes)
    return SidecarConfig(
        backend_host=backend.host,
        backend_port=backend.port,
        backend_tls=backend.scheme == "https",
        profile=profile,
        backend_found=found,
        controlplane_host=controlplane.host if controlplane else "",
        controlplane_port=controlplane.port if controlplane else 0,
        controlplane_tls=controlplane is not None and controlplane.scheme == "https",
        region=region,
        account=options.account,
        dns_capture=options.dns,
        relay=RelayConfig.from_mapping(options.relay),
        engine_hosts=options.engine_hosts,
        engine_idle_s=options.engine_idle_s,
        accounts=options.accounts,
        drain_quiet_s=0.0,  # the command has ended: nobody can come any more
        **inspection.settings(options),
    )


def _profile(options: RunOptions, backend: Backend, notes: list[str]) -> tuple[str, str]:
    """Return the backend's profile, and what it said that it is. `notes` gains what the person should know of it."""
    if not options.backend:
        return BackendProfile.EMBEDDED, ""
    told = "" if options.profile is BackendProfile.AUTO else str(options.profile)
    try:
        faced = face(backend)
    except BackendError as error:
        notes.append(f"{error.message}; calls fail until it does")
        return told or BackendProfile.GENERIC, ""
    profile = told or faced.profile.name
    asked = " as --profile says" if told else ""
    notes.append(f"backend {backend} is {faced}; its profile is {profile}{asked}")
    if faced.lack:
        notes.append(faced.lack)
    return profile, str(faced)


def _start(
    stack: ExitStack, inside: Namespace, log: reporter.Log | None, options: RunOptions, orders: Orders
) -> _Running:
    """Start the sidecar outside, on the sockets made inside, and wait until it serves."""
    records, records_inside = os.pipe()
    descriptors = [*inside.sockets.descriptors(), *(descriptor for descriptor, _ in orders.publish)]
    orders_fd = os.memfd_create("orders")
    os.write(orders_fd, json.dumps(orders.as_json()).encode())
    os.lseek(orders_fd, 0, os.SEEK_SET)
    child = children.start(
        "sidecar",
        "kecs.local.sidecar",
        ["--orders-fd", str(orders_fd), "--log-fd", str(records_inside)],
        [*descriptors, orders_fd, records_inside],
    )
    stack.callback(child.stop)
    os.close(records_inside)
    os.close(orders_fd)
    child.wait_ready(_START_S)
    inside.sockets.close()
    return _Running(namespace=inside, sidecar=child, reporter=reporter.Reporter(records, log, options.log_format))
