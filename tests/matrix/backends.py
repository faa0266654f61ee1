"""Backends that really run, each in its own process on loopback, and the sidecar before them."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import emulator_lab
from matrix.wire import Wire, betraying
from sidecar_service_lab import laboratory

from kecs.core.errors import BackendError
from kecs.emulator.backend import Backend, detect

ROOT: Final = Path(__file__).parent.parent.parent
_INSTALLED: Final = ROOT / ".cache" / "backends"
_START_S: Final = 120
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a backend is started."""

    package: str
    """Whose version it is."""
    profile: str
    command: Callable[[int], list[str]]
    environment: Callable[[int], Mapping[str, str]] = field(default=lambda _: {})
    python: Path = Path(sys.executable)
    absent: Mapping[str, str] = field(default_factory=dict)
    """Forms, by the beginning of their names, that are not played here, and why."""
    install: str = ""
    """What scripts/backends.sh installs it as; empty: it is among our own packages."""


PROGRAMS: Final[Mapping[str, Program]] = {
    "embedded": Program(package="moto", profile="embedded", command=lambda _: []),
    "moto_server": Program(
        package="moto",
        profile="moto-server",
        command=lambda port: ["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
    ),
    "ministack": Program(
        package="ministack",
        profile="ministack",
        python=_INSTALLED / "ministack" / "bin" / "python",
        install="ministack",
        command=lambda _: ["-m", "ministack.app"],
        environment=lambda port: {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"},
    ),
    "localstack": Program(
        package="localstack-core",
        profile="localstack",
        python=_INSTALLED / "localstack" / "bin" / "python",
        install="localstack",
        absent={
            "DynamoDB": "it downloads DynamoDB Local when that is first asked",
            "Lambda: Invoke": "it runs functions in Docker",
            "Lambda: request to the function URL": "it runs functions in Docker",
        },
        command=lambda _: ["-m", "localstack.runtime.main"],
        environment=lambda port: {
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "EAGER_SERVICE_LOADING": "0",
        },
    ),
}


def version(program: Program) -> str:
    """Return the version that runs."""
    code = f"import importlib.metadata as m; print(m.version({program.package!r}))"
    return subprocess.run([program.python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[Wire, str]]:
    """Run a backend and a sidecar before it; yields the wire and the backend's version."""
    program = PROGRAMS[name]
    if program.install:
        subprocess.run([ROOT / "scripts" / "backends.sh", program.install], check=True)
    with (
        _backend(name, program, folder) as port,
        laboratory(folder, port=port, profile=program.profile, region="us-east-1") as lab,
    ):
        yield Wire(lab=lab, words=betraying(port)), version(program)


@contextmanager
def _backend(name: str, program: Program, folder: Path) -> Iterator[int]:
    if name == "embedded":
        with emulator_lab.running() as emulator:
            yield emulator.port
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "KECS_"))}
    home = folder / "home"
    home.mkdir()
    environment = {**clean, "HOME": str(home), "TMPDIR": str(home), **program.environment(port)}
    log = folder / "backend.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program.python, *program.command(port)], env=environment, stdout=out, stderr=out, cwd=home
        )
    with process:
        try:
            _await(process, port, program.profile, log)
            yield port
        finally:
            process.kill()


def _await(process: subprocess.Popen[bytes], port: int, profile: str, log: Path) -> None:
    """Wait until it answers, as who it is."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            found = detect(Backend.parse(f"http://127.0.0.1:{port}")).name
        except BackendError:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            threading.Event().wait(_PAUSE_S)
            continue
        assert found == profile
        return
