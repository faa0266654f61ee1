"""A run without AWS: the namespace of kecs.local, with a small peer where the relay and the DNS forwarder will be.

As a program it is P (`run`), the peer (`serve`), a door to another user (`drop`), or a place where nobody else mounts
anything (`hold`) and the door to it (`join`); tests import `Lab`.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import uvloop

from kecs.core.errors import KecsError
from kecs.core.names import METADATA_IPV4, METADATA_IPV6
from kecs.local import namespace, publish, rundir, syscalls
from kecs.local.helper import Helper
from kecs.local.options import publishes
from kecs.local.rules import Method
from kecs.local.shape import Options
from kecs.local.sockets import Sockets
from kecs.local.synhold import SynHold, dials_early
from kecs.relay.decide import Address, Connection

USER = 61234
DNS_ANSWER = "198.19.0.7"
DEADLINE_S = 20.0
ROOT = Path(__file__).parents[1]
MS_PRIVATE, MS_SHARED = 1 << 18, 1 << 20


def until[T](condition: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Poll a real condition; fail with what was awaited."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        threading.Event().wait(0.01)
    return value


def processes_with(mark: str) -> list[int]:
    """Return the living processes whose environment holds this variable."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


# --- tests' side


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Starts runs, as this user or as one without privileges."""

    directory: Path
    user: int
    methods: tuple[Method, ...] = ()
    apart: "Apart | None" = None
    """Where runs are made; None for where the tests are."""

    def argv(self, *command: str, options: Sequence[str] = ()) -> list[str]:
        program = [sys.executable, __file__]
        drop = [] if self.user == os.geteuid() else [*program, "drop", str(self.user)]
        methods = [word for method in self.methods for word in ("--method", method.value)]
        join = [*program, "join", str(self.apart.pid)] if self.apart else []
        return [*join, *drop, *program, "run", *methods, *options, "--", *command]

    def environment(self, **more: str) -> dict[str, str]:
        runtime = {"XDG_RUNTIME_DIR": str(self.directory), "HOME": str(self.directory), "TERM": "dumb"}
        return {"PATH": os.environ["PATH"], **runtime, **more}

    def run(self, *command: str, options: Sequence[str] = (), **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*command, options=options),
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.directory,
        )

    def python(self, program: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """Run a program inside; return what it printed. It must end well."""
        ran = self.run(sys.executable, "-c", program, *arguments, options=options)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def report(self, *command: str, options: Sequence[str] = ()) -> dict[str, Any]:
        """Run a command; return what P reports at the end."""
        file = self.directory / "report.json"
        ran = self.run(*command, options=[*options, "--report", str(file)])
        assert ran.returncode == 0, ran.stderr
        said: dict[str, Any] = json.loads(file.read_text())
        return said

    @contextmanager
    def started(self, *command: str, options: Sequence[str] = (), **more: str) -> Iterator[subprocess.Popen[str]]:
        """Have a run going; it is ended by the closing of its control, were it still there."""
        pipe = subprocess.PIPE
        argv = self.argv(*command, options=options)
        with subprocess.Popen(
            argv, env=self.environment(**more), stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=self.directory
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A mount namespace in which nobody but the runs of a test mounts anything, held by a process.

    Mounts of the rest of the machine, an image build's for instance, do not get here; those that a run makes outside
    of its own namespace do, whatever and wherever they are.
    """

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def mounts(self) -> list[str]:
        return Path(f"/proc/{self.pid}/mountinfo").read_text(encoding="utf-8").splitlines()

    def leak(self, directory: Path) -> None:
        """Mount something on a directory as a run would that forgets to keep its mounts to itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{directory}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@contextmanager
def apart() -> Iterator[Apart]:
    """Hold such a namespace until the end of the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__, "hold"], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield Apart(process=process)
        finally:
            process.kill()


@contextmanager
def lab(user: int, *methods: Method) -> Iterator[Lab]:
    """Make a directory that the user may write, and a lab on it."""
    with tempfile.TemporaryDirectory(prefix="kecs-lab-") as directory:
        os.chown(directory, user, user if user != os.geteuid() else os.getegid())
        yield Lab(directory=Path(directory), user=user, methods=methods)


def users() -> list[int]:
    """Return whom to test as: a user who needs a user namespace, and root where we are root."""
    return [0, USER] if os.geteuid() == 0 else [os.geteuid()]


@contextmanager
def server(talk: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """Serve connections one after the other on a thread; yield the port."""
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def serve() -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                talk(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
    return port


# --- P


def run(arguments: argparse.Namespace) -> int:
    """Be P: what `kecs run` does around a namespace, without AWS."""
    published = publishes(arguments.publish)
    listeners = [(one, port.inside_port) for port in published for one in publish.bind(port)]
    with rundir.run_directory() as directory:
        methods = tuple(map(Method, arguments.method)) or tuple(Method)
        options = Options(directory=directory, keep=arguments.keep, methods=methods)
        with namespace.create(options) as made:
            report: dict[str, Any] = {"method": made.sockets.method}
            peer = start_peer(made.sockets, listeners, arguments.publish)
            made.start(arguments.command, env=dict(os.environ))
            code = made.wait()
            report["notes"] = made.notes()
            report["peer"] = json.loads(peer.communicate()[0] or "{}")
        if arguments.report:
            Path(arguments.report).write_text(json.dumps(report), encoding="utf-8")
    return code


def start_peer(
    sockets: Sockets, listeners: Sequence[tuple[socket.socket, int]], published: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start the peer as the sidecar is started: with inherited descriptors, ended by its standard input's end."""
    ports = [f"{one.fileno()}:{port}" for one, port in listeners]
    peer = subprocess.Popen(
        [sys.executable, __file__, "serve", sockets.describe(), json.dumps([list(published), ports])],
        pass_fds=[*sockets.descriptors(), *(one.fileno() for one, _port in listeners)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    sockets.close()
    for one, _port in listeners:
        one.close()
    assert peer.stdout is not None
    peer.stdout.readline()
    return peer


# --- the peer


@dataclass(slots=True)
class Peer:
    """Accepts what is redirected: says the destination at metadata addresses, else passes."""

    hold: SynHold
    method: Method
    number: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, listener: socket.socket) -> None:
        listener.settimeout(0)
        loop = asyncio.get_running_loop()
        while True:
            client, address = await loop.sock_accept(listener)
            client.settimeout(0)
            task = loop.create_task(self.serve(client, Address(*address[:2])))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def serve(self, client: socket.socket, address: Address) -> None:
        self.number += 1
        destination = Address(*original(client, redirected=self.method.inside_first))
        loop = asyncio.get_running_loop()
        with client:
            if destination.host in METADATA_IPV4 + METADATA_IPV6:
                await loop.sock_sendall(client, f"{destination.host} {destination.port}\n".encode())
                while await loop.sock_recv(client, 4096):  # a close with bytes unread would be a reset
                    pass
                return
            dialled: asyncio.Future[socket.socket | OSError] = loop.create_future()
            connection = Connection(number=self.number, client=address, destination=destination)
            self.hold.dial(connection, dialled.set_result)
            upstream = await dialled
            if isinstance(upstream, OSError):
                publish.reset(client)
                return
            with upstream:
                await publish.pump_both(client, upstream)


def original(client: socket.socket, *, redirected: bool) -> tuple[str, int]:
    """Return where the client wanted to go."""
    host, port, *_rest = client.getsockname()
    if not redirected:
        return host, port
    v6 = client.family == socket.AF_INET6
    raw = client.getsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 80, 28)
    address = raw[8:24] if v6 else raw[4:8]
    return socket.inet_ntop(client.family, address), int.from_bytes(raw[2:4])


def answer(listener: socket.socket) -> None:
    """Answer one query from the address that was asked."""
    query, ancillary, _flags, client = listener.recvmsg(4096, 256)
    response = dns.message.make_response(dns.message.from_wire(query))
    response.answer.append(dns.rrset.from_text(response.question[0].name, 5, "IN", "A", DNS_ANSWER))
    level, kind, info = ancillary[0]
    if level == socket.IPPROTO_IP:
        info = bytes(4) + info[8:12] + bytes(4)  # ipi_ifindex, ipi_spec_dst = ipi_addr
    listener.sendmsg([response.to_wire()], [(level, kind, info)], 0, client)


async def serve(described: str, extra: str) -> None:
    """Be the peer until standard input ends."""
    loop = asyncio.get_running_loop()
    sockets = Sockets.adopt(described)
    specs, listeners = json.loads(extra)
    published = publishes(specs)
    helper = Helper(loop, sockets.helper)
    hold = SynHold(
        loop,
        sockets.queue,
        may_dial=lambda destination: dials_early(destination, allocated=lambda _: False),
        refuses=lambda destination: publish.is_own(destination, published),
        inside=helper if sockets.method.inside_first else None,
    )
    peer = Peer(hold, sockets.method)
    publisher = publish.Publisher(helper)
    for spec in listeners:
        descriptor, port = map(int, spec.split(":"))
        publisher.serve(socket.socket(fileno=descriptor), port)
    for one in sockets.dns:
        loop.add_reader(one.fileno(), answer, one)
    accepting = [loop.create_task(peer.accept(one)) for one in sockets.listeners]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(0, ended.set)  # nobody writes: it is the end
    await ended.wait()
    loop.remove_reader(0)
    for task in accepting:
        task.cancel()
    counts = {name: getattr(hold.counts, name) for name in hold.counts.__slots__}
    hold.close()
    helper.close()
    await publisher.close()
    sys.stdout.write(json.dumps({**counts, "accepted": peer.number, "published": publisher.served}) + "\n")


# --- a place apart


def hold() -> None:
    """Be in a mount namespace of its own whose mounts are shared with those made from it alone."""
    uid, gid = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWNS | (os.CLONE_NEWUSER if uid else 0))
    if uid:
        for name, text in {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}.items():
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    for propagation in (MS_PRIVATE, MS_SHARED):
        syscalls.mount("none", "/", syscalls.MS_REC | propagation)
    sys.stdout.write("held\n")
    sys.stdout.flush()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.unshare(os.CLONE_NEWNS)
            syscalls.mount(line.strip(), line.strip(), syscalls.MS_BIND)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        sys.stdout.write("done\n")
        sys.stdout.flush()


def join(pid: int, argv: Sequence[str]) -> None:
    """Execute a program in the mount namespace of a process that holds one."""
    here = Path.cwd()
    holder = os.pidfd_open(pid)
    os.setns(holder, os.CLONE_NEWNS | (os.CLONE_NEWUSER if os.geteuid() else 0))
    os.close(holder)
    os.chdir(here)  # joining leaves us at the root
    os.execv(argv[0], list(argv))  # noqa: S606 - no shell is wanted


# --- the door


def drop(user: int, argv: Sequence[str]) -> None:
    """Become a user without privileges, for whom the interpreter and this project can be read; run a program."""
    needed = {path.resolve() for path in (Path(sys.base_prefix), Path(sys.prefix), ROOT, Path(__file__).parent)}
    os.unshare(os.CLONE_NEWNS)
    syscalls.mount("none", "/", syscalls.MS_REC | syscalls.MS_SLAVE)
    closed = {top for path in needed for top in closed_above(path)}
    for top in closed:
        _open_up(top, [path for path in needed if path.is_relative_to(top)])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.execv(argv[0], list(argv))  # noqa: S606 - no shell is wanted


def closed_above(path: Path) -> list[Path]:
    """Return the topmost directory on the way that others may not enter, if any."""
    return [one for one in reversed(path.parents) if not one.stat().st_mode & 1][:1]


def _open_up(top: Path, needed: Sequence[Path]) -> None:
    """Show what is needed through a directory that is closed, be it a checkout made with a narrow umask itself."""
    paths = {one for path in needed for one in (top.iterdir() if path == top else [path]) if one.is_dir()}
    staging = Path(tempfile.mkdtemp())
    staged = []
    for number, path in enumerate(sorted(paths)):
        place = staging / str(number)
        place.mkdir()
        syscalls.mount(str(path), str(place), syscalls.MS_BIND)
        staged.append((place, path))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(top)], check=True)
    for place, path in staged:
        path.mkdir(parents=True, exist_ok=True)
        syscalls.mount(str(place), str(path), syscalls.MS_BIND)
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()  # never a whole tree: through a mount that is still there it would be what is needed
    staging.rmdir()


def main() -> int:
    """Choose what to be."""
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("run")
    one.add_argument("--publish", action="append", default=[])
    one.add_argument("--method", action="append", default=[])
    one.add_argument("--keep", action="store_true")
    one.add_argument("--report", default="")
    one.add_argument("command", nargs="+")
    two = kinds.add_parser("serve")
    two.add_argument("described")
    two.add_argument("extra")
    three = kinds.add_parser("drop")
    three.add_argument("user", type=int)
    three.add_argument("argv", nargs=argparse.REMAINDER)
    kinds.add_parser("hold")
    four = kinds.add_parser("join")
    four.add_argument("pid", type=int)
    four.add_argument("argv", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.kind == "drop":
        drop(arguments.user, arguments.argv)
    if arguments.kind == "join":
        join(arguments.pid, arguments.argv)
    if arguments.kind == "hold":
        hold()
        return 0
    if arguments.kind == "serve":
        uvloop.run(serve(arguments.described, arguments.extra))  # as the sidecar does
        return 0
    try:
        return run(arguments)
    except KecsError as error:
        sys.stderr.write(f"error: {error.message}\n\nhint: {error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
