"""The edge of `kecs server`: control plane, gateway and emulator as processes, brought up, watched, and taken down.

The emulator, which is slowest, is started first. All ports are taken before anything is started, so that one that is
not free costs nothing but a sentence. The embedded emulator is started again when it ends by itself; without control
plane or gateway there is nothing to go on with.
"""

import os
import secrets
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kecs.controlplane.config import kind_of
from kecs.core.backends import BackendProfile
from kecs.core.errors import BackendError, MachineError
from kecs.core.formats import LogFormat
from kecs.core.settings import LogLevel
from kecs.emulator.backend import Backend, face
from kecs.local import children, ports, reporter
from kecs.local.children import Child
from kecs.local.embedded import Embedded, embedded
from kecs.local.server_options import ServerOptions
from kecs.local.server_screen import Screen, screen
from kecs.local.summary import Record

_START_S: Final = 60.0
_INSTANCE: Final = "instance"
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_ENDS: Final = (signal.SIGINT, signal.SIGTERM)
_LOOK_S: Final = 1.0
_WAKES_MAX: Final = 4096
_STDOUT: Final = 1
_TOLD: Final = frozenset(
    {"client_distrusts", "invalid", "refused", "unclassified", "internal_error", "misfit", "warned"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sockets:
    """The ports, taken."""

    gateway: socket.socket
    api: socket.socket
    admin: socket.socket


def serve(options: ServerOptions) -> int:
    """Serve until somebody ends it; return the exit code. Raises KecsError when it can't be started."""
    given = Backend.parse(options.backend, source="gateway.backend") if options.backend else None
    with ExitStack() as stack:
        sockets = _take(stack, options)
        _have(options.directory)
        wakes = stack.enter_context(_signals())
        emulator = None
        if options.emulator and given is None:
            emulator = stack.enter_context(embedded(options.account, _tell))
        address = emulator.address if emulator else given if options.emulator else None
        profile, found = _profile(options, address)
        told, telling = os.pipe()
        plane = _controlplane(stack, options, sockets, address, telling)
        gateway = _gateway(stack, options, sockets, address, profile, telling)
        os.close(telling)
        for part in (plane, gateway):
            part.wait_ready(_START_S)
        if emulator:
            emulator.wait_ready(_START_S)
        log = reporter.Log(_STDOUT, "standard output")
        reading = reporter.Reporter(told, log, LogFormat.TEXT, shows=_shows(options.log_level))
        _show(options, found)
        reading.start()
        code = _watch((plane, gateway), emulator, wakes)
        for part in (gateway, plane):
            part.stop()
        reading.finish()
    return code


def _take(stack: ExitStack, options: ServerOptions) -> _Sockets:
    def taken(port: int, flag: str, what: str) -> socket.socket:
        return stack.enter_context(ports.listen(options.host, port, flag=flag, what=what))

    return _Sockets(
        gateway=taken(options.api_port, "--api-port", "the endpoint for all of AWS"),
        api=taken(options.port, "--port", "the ECS API"),
        admin=taken(options.admin_port, "--admin-port", "health and metrics"),
    )


def _have(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise MachineError(f"{directory} can't be made: {reason}", hint="name another with --data-dir") from error


def instance(directory: Path) -> str:
    """Return the name of the control plane whose state is in a directory: the same as long as the state is there."""
    path = directory / _INSTANCE
    try:
        if found := path.read_text(encoding="utf-8").strip():
            return found
    except FileNotFoundError:
        pass
    made = f"server-{secrets.token_hex(6)}"
    path.write_text(f"{made}\n", encoding="utf-8")
    return made


def _shows(level: LogLevel) -> Callable[[Record], bool]:
    """Return what tells which records a person sees: calls, and what went wrong."""
    if level is LogLevel.DEBUG:
        return lambda _: True
    shown = _TOLD if level is LogLevel.WARNING else _TOLD | {"call"}
    return lambda record: str(record.get("event")) in shown or str(record.get("event")).endswith("_failed")


def _profile(options: ServerOptions, address: Backend | None) -> tuple[str, str]:
    """Return the emulator's profile, and what a person is told of it."""
    if address is None:
        return BackendProfile.GENERIC, ""
    if not options.backend:
        return BackendProfile.EMBEDDED, "embedded"
    told = "" if options.profile is BackendProfile.AUTO else str(options.profile)
    try:
        faced = face(address)
    except BackendError as error:
        return told or BackendProfile.GENERIC, f"{address}: {error.message}"
    return told or faced.profile.name, f"{address}, {faced}"


def _told(text: str) -> int:
    """Return a descriptor that holds a text."""
    descriptor = os.memfd_create("told")
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _address(sock: socket.socket) -> Backend:
    """Return where a socket of ours is reached from this machine."""
    host, port = sock.getsockname()[:2]
    return Backend(scheme="http", host=_ANYWHERE.get(host, host), port=port)


def _controlplane(
    stack: ExitStack, options: ServerOptions, sockets: _Sockets, emulator: Backend | None, telling: int
) -> Child:
    config = _told(options.controlplane(emulator, _address(sockets.gateway), instance(options.directory)).to_json())
    passed = {
        "--fd": sockets.api.fileno(),
        "--admin-fd": sockets.admin.fileno(),
        "--config-fd": config,
        "--log-fd": telling,
    }
    return _started(stack, "control plane", "kecs.controlplane", passed, config)


def _gateway(  # noqa: PLR0917 - called in one place
    stack: ExitStack,
    options: ServerOptions,
    sockets: _Sockets,
    emulator: Backend | None,
    profile: str,
    telling: int,
) -> Child:
    config = _told(options.gateway(emulator, profile, _address(sockets.api)).to_json())
    passed = {"--fd": sockets.gateway.fileno(), "--config-fd": config, "--log-fd": telling}
    return _started(stack, "gateway", "kecs.gateway", passed, config, ["--authority", str(options.authority)])


def _started(  # noqa: PLR0917 - called in two places
    stack: ExitStack,
    name: str,
    module: str,
    passed: Mapping[str, int],
    config: int,
    further: Sequence[str] = (),
) -> Child:
    words = [word for flag, number in passed.items() for word in (flag, str(number))]
    child = children.start(name, module, [*words, *further], tuple(passed.values()))
    stack.callback(child.stop)
    os.close(config)
    return child


@contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor with a byte for each signal: somebody has asked for the end, or a part has ended."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in (*_ENDS, signal.SIGCHLD)}
    signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _watch(parts: Sequence[Child], emulator: Embedded | None, wakes: int) -> int:
    """Wait until somebody ends it, or a part ends by itself that is not started again."""
    while True:
        wait_s = emulator.due_s(_LOOK_S) if emulator else _LOOK_S
        readable, _, _ = select.select([wakes], [], [], wait_s)
        if readable and any(number in _ENDS for number in os.read(wakes, _WAKES_MAX)):
            return 0
        ended = [part for part in parts if part.process.poll() is not None]
        if emulator and not emulator.look():
            ended.append(emulator.child)
        for part in ended:
            _tell(f"the {part.name} has ended by itself, code {part.process.returncode}")
        if ended:
            return 1


def _tell(sentence: str) -> None:
    reporter.tell(f"kecs: {sentence}")


def _show(options: ServerOptions, found: str) -> None:
    sys.stdout.write(
        screen(
            Screen(
                host=_ANYWHERE.get(options.host, options.host),
                port=options.port,
                admin_port=options.admin_port,
                api_port=options.api_port,
                emulator=found,
                runtime=str(kind_of(options.runtime, options.kubeconfig, os.environ)),
                directory=str(options.directory),
                root=str(options.authority / "ca.crt"),
            )
        )
    )
    sys.stdout.flush()
