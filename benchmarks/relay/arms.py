"""The arms: what stands between client and backend. Each runs as the proxy's user of a pod, under the pod's rules."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.relay import nginx
from benchmarks.relay.layout import AWS_NAME, BACKEND_HOST, BACKEND_PORT, Backend
from benchmarks.relay.material import Material
from benchmarks.relay.place import PATIENCE_S, Place, settle
from kecs.core.names import PROXY_GID, PROXY_UID
from kecs.sidecar.config import EngineMode, SidecarConfig

OURS: Final = "ours"
_PROJECT: Final = Path(__file__).parents[2]
_FOLDERS: Final = ("core", "aws", "certs", "relay", "sidecar")
_STREAM_MODULES: Final = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What an arm is started with."""

    directory: Path
    """Its own; the proxy's user may write."""
    material: Material
    backend: Backend = field(default_factory=Backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How an arm is run."""

    argv: tuple[str, ...]
    environ: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way from client to backend."""

    name: str
    title: str
    program: Callable[[Setting], Program] | None
    """None: the client talks to the backend itself."""
    needs: tuple[str, ...] = ()
    """Programs that have to be installed."""
    passes: bool = True
    """Lets through what is not AWS."""


def _ours(setting: Setting, revision: str = "") -> Program:
    config = SidecarConfig(
        backend_host=setting.backend.host,
        backend_port=setting.backend.port,
        profile="localstack",
        engine=EngineMode.ON_DEMAND,
    )
    environ = {
        "KECS_SIDECAR_CONFIG": config.to_json(),
        "KECS_SIDECAR_CHAIN_FILE": str(setting.material.chain),
        "KECS_SIDECAR_KEY_FILE": str(setting.material.key),
        "KECS_SIDECAR_ADMIN_HOST": "127.0.0.1",
        "KECS_SIDECAR_PROBE_HOST": "127.0.0.2",
        "KECS_SIDECAR_DNS": "off",
    }
    if revision:
        environ["PYTHONPATH"] = _checked_out(revision, setting.directory)
    return Program(argv=(sys.executable, "-m", "kecs.sidecar"), environ=environ)


def _checked_out(revision: str, directory: Path) -> str:
    """Lay out a revision's sources; return the path on which they come before the installed ones."""
    tree = directory / "tree"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", revision, *_FOLDERS], cwd=_PROJECT, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"error: {revision} is no revision of this project: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "--extract", "--directory", str(tree)], input=archive.stdout, check=True)
    return ":".join(str(tree / folder) for folder in _FOLDERS)


def _nginx(text: str, directory: Path) -> Program:
    file = directory / "nginx.conf"
    file.write_text(text, encoding="utf-8")
    return Program(argv=("nginx", "-e", "stderr", "-p", str(directory), "-c", str(file)), environ={})


def _nginx_sni(setting: Setting) -> Program:
    text = nginx.split(setting.directory, setting.material, setting.backend, module=stream_module())
    return _nginx(text, setting.directory)


def _nginx_tls(setting: Setting) -> Program:
    return _nginx(nginx.plain(setting.directory, setting.material, setting.backend), setting.directory)


def stream_module() -> Path:
    """Find nginx' stream module, which distributions ship apart."""
    for directory in _STREAM_MODULES:
        path = Path(directory) / "ngx_stream_module.so"
        if path.exists():
            return path
    raise SystemExit("error: nginx has no stream module\n\nhint: apt-get install libnginx-mod-stream")


ARMS: Final = {
    arm.name: arm
    for arm in (
        Arm(name="direct", title="no proxy: plain HTTP to the backend", program=None),
        Arm(name="nginx-sni", title="nginx: stream ssl_preread, then TLS", program=_nginx_sni, needs=("nginx",)),
        Arm(name="nginx-tls", title="nginx: TLS alone", program=_nginx_tls, needs=("nginx",), passes=False),
        Arm(name=OURS, title="the sidecar as in a pod", program=_ours),
    )
}


def find(name: str) -> Arm:
    """Return an arm by its name; `ours@REVISION` is the sidecar as it was at a revision of this project."""
    kind, at, revision = name.partition("@")
    if not at and name in ARMS:
        return ARMS[name]
    if kind == OURS and revision:
        return Arm(name=name, title=f"the sidecar at {revision}", program=partial(_ours, revision=revision))
    raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An arm at work, and the pod it is in."""

    arm: Arm
    pod: Place
    material: Material
    directory: Path

    @property
    def base(self) -> str:
        """Where the client's URLs begin."""
        if self.arm.program is None:
            return f"http://{BACKEND_HOST}:{BACKEND_PORT}"
        return f"https://{AWS_NAME}"


@contextmanager
def running(arm: Arm, pod: Place, setting: Setting) -> Iterator[Running]:
    """Start an arm; it has shaken hands once when this yields."""
    found = Running(arm=arm, pod=pod, material=setting.material, directory=setting.directory)
    if arm.program is None:
        yield found
        return
    redirect(pod)
    with started(arm.program(setting), pod, setting.directory):
        try:
            settle(handshake(pod, setting.material), 10)
        except SystemExit as error:
            raise SystemExit(f"{error}{(setting.directory / 'stderr').read_text(encoding='utf-8')}") from error
        yield found


def redirect(pod: Place) -> None:
    """Apply the rules that the init container applies in a pod."""
    pod.run(sys.executable, "-m", "kecs.init_container", "--rules-only", environ={"KECS_IPTABLES_BACKEND": "nft"})


def handshake(pod: Place, material: Material) -> list[str]:
    """Return a command that succeeds once the arm serves a certificate that clients trust."""
    program = ["curl", "-sS", "--fail", "--max-time", "5", "-o", "/dev/null", "--cacert"]
    return pod.argv(*program, str(material.root), f"https://{AWS_NAME}/ready")


@contextmanager
def started(program: Program, pod: Place, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program as the proxy's user. Its output is a pipe that somebody reads, as in a container."""
    reader, writer = os.pipe()
    os.fchown(writer, PROXY_UID, PROXY_GID)  # /dev/stdout is opened anew by those who write logs to a path
    with os.fdopen(writer, "wb") as output, (directory / "stderr").open("wb") as errors:
        process = pod.start(*program.argv, user=PROXY_UID, environ=program.environ, stdout=output, stderr=errors)
    with os.fdopen(reader, "rb") as lines, subprocess.Popen(["cat"], stdin=lines, stdout=subprocess.DEVNULL) as drain:
        try:
            yield process
        finally:
            stop(process, pod)
            drain.wait(PATIENCE_S)


def stop(process: subprocess.Popen[str], pod: Place) -> None:
    """End all that runs as the proxy's user in a pod."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pod.members(PROXY_UID):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
            break
    process.wait(PATIENCE_S)
