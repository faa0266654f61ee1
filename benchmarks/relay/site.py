"""A run's site: the world, and a pod with an arm in it wherever one is wanted. Starts and ends processes."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.relay import layout, material, nginx
from benchmarks.relay.arms import Arm
from benchmarks.relay.layout import AWS_NAME, Backend
from benchmarks.relay.machine import tell
from benchmarks.relay.material import Material
from benchmarks.relay.place import PATIENCE_S, Place, place, settle
from benchmarks.relay.programs import Program, Setting
from kecs.core.names import PROXY_GID, PROXY_UID

_PROJECT: Final = Path(__file__).parents[2]
_READY_S: Final = 60.0
_SYSCTL: Final = (
    "net.ipv4.ip_local_port_range=1024 65000",
    "net.ipv4.tcp_tw_reuse=1",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1",
)
"""So that thousands of connections a second leave ports, and room in the kernel's table, for the next round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all arms share."""

    directory: Path
    hosts: Path
    material: Material
    world: Place
    numbers: Iterator[int] = field(default_factory=itertools.count)
    asked: Iterator[int] = field(default_factory=itertools.count)

    def requests(self) -> int:
        """Return how many requests the backend has had, but for this one and those like it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.directory / "world" / "status.sock"))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with sock.makefile("rb") as answer:
                said = answer.read().decode("ascii")
        return int(said.split("requests\n")[1].split()[2]) - next(self.asked)

    @contextmanager
    def pod(self) -> Iterator[Place]:
        """Make a pod that reaches the world."""
        with place(self.hosts) as pod:
            join(pod, self.world, next(self.numbers))
            yield pod

    def setting(self, arm: Arm, backend: Backend) -> Setting:
        """Make what an arm is started with."""
        own = self.directory / f"{arm.name.replace('/', '-')}-{next(self.numbers)}"
        own.mkdir()
        os.chown(own, PROXY_UID, PROXY_GID)
        return Setting(directory=own, material=self.material, backend=backend)

    @contextmanager
    def running(self, arm: Arm, backend: Backend) -> Iterator["Running"]:
        """Have an arm run in a pod; it has served a call when this yields."""
        setting = self.setting(arm, backend)
        with ExitStack() as stack:
            found = Running(arm=arm, pod=stack.enter_context(self.pod()), site=self, setting=setting)
            if arm.program is not None:
                redirect(found.pod)
                process = stack.enter_context(started(arm.program(setting), found.pod, setting.directory))
                ready = ["curl", "-sS", "--max-time", "5", "-o", "/dev/null", "--cacert", str(self.material.root)]
                try:
                    settle(found.pod.argv(*ready, f"{found.base}/small"), process, _READY_S)
                except SystemExit as error:
                    said = (setting.directory / "stderr").read_text(encoding="utf-8")
                    raise SystemExit(f"{error}\n{arm.name} said:\n{said}") from error
                tell(f"{arm.name} runs: {' '.join(map(str, found.pod.members(PROXY_UID)))}")
            yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An arm at work, and the pod it is in."""

    arm: Arm
    pod: Place
    site: Site
    setting: Setting

    @property
    def material(self) -> Material:
        """The run's certificates."""
        return self.site.material

    @property
    def base(self) -> str:
        """Where the client's URLs begin."""
        backend = self.setting.backend
        return f"http://{backend.host}:{backend.port}" if self.arm.program is None else f"https://{AWS_NAME}"


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Make the world: the backend, a server that is not AWS, and who issues certificates."""
    hosts = directory / "hosts"
    hosts.write_text(layout.hosts(), encoding="utf-8")
    made = material.make(directory)
    with place(hosts) as world:
        addresses = (layout.AWS_ADDRESS, layout.FOREIGN_ADDRESS, layout.BACKEND_HOST)
        world.ip("".join(f"addr add {one}/32 dev lo\n" for one in addresses))
        world.sysctl(*_SYSCTL[:2])
        own = directory / "world"
        own.mkdir()
        own.chmod(0o777)
        nginx.provide(own)
        file = own / "nginx.conf"
        file.write_text(nginx.world(own, made), encoding="utf-8")
        world.start("nginx", "-e", "stderr", "-p", str(own), "-c", str(file), user=0)
        issuing = [sys.executable, "-m", "benchmarks.relay.issuer", str(made.issuer), str(made.serving)]
        await_line(world.start(*issuing, user=0, environ={"PYTHONPATH": str(_PROJECT)}, stdout=subprocess.PIPE))
        yield Site(directory=directory, hosts=hosts, material=made, world=world)


def emulate(site: Site) -> None:
    """Start the embedded emulator in the world."""
    listen = f"{layout.EMULATOR.host}:{layout.EMULATOR.port}"
    argv = (sys.executable, "-m", "kecs.emulator", "--listen", listen, "--ready-fd", "1")
    await_line(site.world.start(*argv, user=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


def await_line(process: subprocess.Popen[str]) -> str:
    """Read the line that a program says when it is ready."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"error: {process.args!r} ended with {process.wait(PATIENCE_S)}")
    return line


def join(pod: Place, world: Place, number: int) -> None:
    """Lay a cable from a pod to the world, and let the pod's default route lead there."""
    subnet = f"10.99.{number % 256}"
    pod.ip(
        f"link add eth0 type veth peer name pod{number} netns {world.pid}\n"
        f"addr add {subnet}.2/24 dev eth0\nlink set eth0 up\n"
    )
    world.ip(f"addr add {subnet}.1/24 dev pod{number}\nlink set pod{number} up\n")
    pod.ip(f"route add default via {subnet}.1\n")
    pod.sysctl(*_SYSCTL[:2])


def redirect(pod: Place) -> None:
    """Apply the rules that the init container applies in a pod."""
    pod.run(
        sys.executable, "-m", "kecs.init_container", "--rules-only", user=0, environ={"KECS_IPTABLES_BACKEND": "nft"}
    )
    pod.sysctl(_SYSCTL[2])


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
        pod.signal(PROXY_UID, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
            return
    process.wait(PATIENCE_S)
