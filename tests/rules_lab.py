"""A pod and the world around it: two network namespaces joined by a cable, and who answers when somebody dials.

As a program it is a server (`serve`) or a caller that becomes other users (`dial`); tests import the rest.
"""

import json
import os
import selectors
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from kecs.core.names import DNS_PORT, METADATA_IPV4, METADATA_IPV6, RELAY_PORT

SO_ORIGINAL_DST = 80
TIMEOUT_S = 20
AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")
"""A user namespace of one's own is not enough: there the kernel takes no rule about a user who is not mapped, and the
legacy tools can't list their tables."""
IDS = range(100_000, 165_536)
"""Whose ids a user namespace has, as a pod with `hostUsers: false`."""
NSENTER = shutil.which("nsenter") or "nsenter"
ENV = shutil.which("env") or "env"
"""Found before a test changes PATH."""
INIT = (sys.executable, "-m", "kecs.init_container")
POD = {4: "10.77.0.2", 6: "fd77::2"}
WORLD = {4: "10.77.0.1", 6: "fd77::1"}
SITE = {4: "203.0.113.7", 6: "2001:db8::7"}
METADATA = {4: METADATA_IPV4, 6: METADATA_IPV6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who dials what."""

    uid: int
    gid: int
    protocol: str
    address: str
    port: int
    source: int = 0
    """Source port; 0 for any."""


class Namespace:
    """A network namespace that lives as long as a process in it."""

    def __init__(self, pid: int, *kinds: str) -> None:
        self.pid = pid
        self.enter = (NSENTER, *(f"--{kind}=/proc/{pid}/ns/{kind}" for kind in kinds))

    def run(
        self,
        *command: str,
        stdin: str = "",
        environ: dict[str, str] | None = None,
        check: bool = True,
    ) -> "subprocess.CompletedProcess[str]":
        environ = {"PATH": os.environ["PATH"]} | (environ or {})
        done = subprocess.run(
            [*AS_ROOT, ENV, "-i", *(f"{name}={value}" for name, value in environ.items()), *self.enter, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def ip(self, script: str) -> None:
        self.run("ip", "-batch", "-", stdin=script)

    def init(self, *arguments: str, **environ: str) -> str:
        """Run the init container's program; it has to succeed."""
        return self.run(*INIT, *arguments, environ=environ).stdout

    def try_init(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run it, whatever becomes of it."""
        return self.run(*INIT, *arguments, environ=environ, check=False)

    def rules(self, backend: str) -> str:
        """Return both families' rules, without the comments that carry the time."""
        saved = [self.run(f"{base}-{backend}-save").stdout for base in ("iptables", "ip6tables")]
        return "".join(line for text in saved for line in text.splitlines(keepends=True) if not line.startswith("#"))

    def dial(self, calls: Sequence[Call]) -> list[str]:
        asked = json.dumps([asdict(call) for call in calls])
        said: list[str] = json.loads(self.run(sys.executable, __file__, "dial", stdin=asked).stdout)
        return said


@contextmanager
def namespace(*, users: bool = False) -> Iterator[Namespace]:
    """Make a namespace with loopback alone, in a user namespace too if asked for."""
    kinds = ("user", "net") if users else ("net",)
    command = [*AS_ROOT, "unshare", *(f"--{kind}" for kind in kinds), "sh", "-c", "echo $$ && exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        pid = holder.stdout.readline()
        assert pid, (
            "these tests take root, or sudo without a password: rules are a namespace's, and a namespace is root's"
        )
        for kind in ("uid", "gid") if users else ():
            ids = f"0 {IDS.start} {len(IDS)}".encode()
            subprocess.run([*AS_ROOT, "tee", f"/proc/{int(pid)}/{kind}_map"], input=ids, check=True, timeout=TIMEOUT_S)
        made = Namespace(int(pid), *kinds)
        made.run("ip", "link", "set", "lo", "up")
        yield made
        holder.stdin.close()


@contextmanager
def pod_and_world() -> Iterator[Namespace]:
    """Make a pod whose default route leads to a world that answers everything; yield the pod."""
    with namespace() as pod, namespace() as world:
        pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(world.pid))
        world.ip(_addresses([*(f"{WORLD[f]}/24" if f == 4 else f"{WORLD[f]}/64" for f in (4, 6)), *_far()]))
        pod.ip(_addresses([f"{POD[4]}/24", f"{POD[6]}/64"]))
        pod.ip(f"route add default via {WORLD[4]}\nroute add ::/0 via {WORLD[6]}\n")
        far = [address.partition("/")[0] for address in _far()]
        near = [*POD.values(), *LOOPBACK.values()]
        outside = [f"world {p} {a} {port}" for a in far for p in ("tcp", "udp") for port in (443, 80, 53, 8443)]
        inside = [f"pod {p} {a} 443" for a in near for p in ("tcp", "udp")]
        inside += [f"relay tcp {a} {RELAY_PORT}" for a in LOOPBACK.values()]
        inside += [f"dns {p} {a} {DNS_PORT}" for a in LOOPBACK.values() for p in ("tcp", "udp")]
        with _serving(world, outside), _serving(pod, inside):
            yield pod


def _far() -> list[str]:
    return [f"{a}/{ip_address(a).max_prefixlen}" for f in (4, 6) for a in (SITE[f], *METADATA[f])]


def _addresses(addresses: Sequence[str]) -> str:
    lines = [f"addr add {a} dev eth0{' nodad' if ':' in a else ''}" for a in addresses]
    return "\n".join([*lines, "link set eth0 up", ""])


@contextmanager
def _serving(where: Namespace, listeners: list[str]) -> Iterator[None]:
    command = [*AS_ROOT, *where.enter, sys.executable, __file__, "serve", *listeners]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield
        assert server.stdin
        server.stdin.close()


def _socket(protocol: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    made.settimeout(TIMEOUT_S / 2)
    return made


def serve(listeners: Sequence[str]) -> None:
    """Answer each caller with the listener's label and, for the relay, with what was dialled; until stdin ends."""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ, None)
    for listener in listeners:
        label, protocol, address, port = listener.split()
        made = _socket(protocol, address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, int(port)))
        if protocol == "tcp":
            made.listen()
        selector.register(made, selectors.EVENT_READ, (label, protocol))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            assert isinstance(key.fileobj, socket.socket)
            _answer(key.fileobj, *key.data)


def _answer(listener: socket.socket, label: str, protocol: str) -> None:
    if protocol == "udp":
        _, caller = listener.recvfrom(100)
        listener.sendto(label.encode(), caller)
        return
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        said = f"{label} {_original(connection)}" if label == "relay" else label
        connection.sendall(said.encode())


def _original(connection: socket.socket) -> str:
    """Ask the kernel what the client dialled."""
    if connection.family == socket.AF_INET6:
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        _, port, _, address6, _ = struct.unpack("!HHI16sI", raw)
        return f"{IPv6Address(address6)} {port}"
    raw = connection.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
    _, port, address4, _ = struct.unpack("!HH4s8s", raw)
    return f"{IPv4Address(address4)} {port}"


def dial(calls: Sequence[Call]) -> list[str]:
    """Make each call as its user and return who answered, or "refused"."""
    os.setgroups([])
    return [_as_user(call) for call in calls]


def _as_user(call: Call) -> str:
    os.setegid(call.gid)
    os.seteuid(call.uid)
    try:
        with _socket(call.protocol, call.address) as line:
            if call.source:
                line.bind((POD[ip_address(call.address).version], call.source))
            line.connect((call.address, call.port))
            if call.protocol == "udp":
                line.send(b"?")
            return line.recv(100).decode()
    except (ConnectionRefusedError, PermissionError):
        return "refused"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        os.seteuid(0)
        os.setegid(0)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        print(json.dumps(dial([Call(**call) for call in json.load(sys.stdin)])))  # noqa: T201 - the program's output
