"""A pod's sidecar as it runs in a cluster: its own process, redirected to, beside a certificate service's process.

Everything lives in a network namespace, which the calling thread enters: sockets, threads and processes that it makes
are in there, and REDIRECT rules are nobody else's. The sidecar also has a hosts file of its own, in which the service
has its name.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certs_service_lab import SERVICE_NAME, CertsService, certs_service, new_state, pod, review, write_issuer
from kube_lab import ApiServer, api_server
from rules_lab import namespace
from sidecar_lab import configuration
from sidecar_service_lab import Got, backend

from kecs.certs.outcome import State
from kecs.core.names import ADMIN_PORT, PROBE_PORT, PROXY_GID, RELAY_PORT

PATIENCE_S = 30
AWS = "203.0.113.9"
"""An address of the world, to which every connection but the sidecar's own is redirected."""
CERTS_PORT = 8443
S3 = "b.s3.eu-west-1.amazonaws.com"
_PROBE_HOST = "127.0.0.2"
_RULES = f"""
*nat
-A OUTPUT -d {AWS} -p tcp -m owner ! --gid-owner {PROXY_GID} -j REDIRECT --to-ports {RELAY_PORT}
COMMIT
"""


@contextmanager
def entered(pid: int) -> Iterator[None]:
    """Have this thread be in the network namespace of a process."""
    with Path("/proc/thread-self/ns/net").open("rb") as before, Path(f"/proc/{pid}/ns/net").open("rb") as other:
        os.setns(other.fileno(), os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(before.fileno(), os.CLONE_NEWNET)


@dataclass(slots=True, kw_only=True)
class SidecarProcess:
    """A running sidecar of a pod."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def next_line(self, event: str) -> dict[str, Any]:
        """Read the log up to the next event of that name."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            found: dict[str, Any] = json.loads(text)
            self.lines.append(found)
            if found["event"] == event:
                return found
        raise AssertionError(f"the log ended without {event}: {self.lines}")

    def ask(self, path: str, *, port: int = ADMIN_PORT, host: str = "127.0.0.1") -> tuple[int, str]:
        """Ask the admin port, as soon as it is there."""
        while True:
            with closing(http.client.HTTPConnection(host, port, timeout=PATIENCE_S)) as asking:
                try:
                    asking.request("GET", path)
                    answer = asking.getresponse()
                    return answer.status, answer.read().decode()
                except ConnectionRefusedError:
                    assert self.process.poll() is None

    def untold(self, event: str) -> list[dict[str, Any]]:
        """End it; return all events of that name which nobody has read."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        rest = [json.loads(text) for text in self.process.stdout]
        return [one for one in rest if one["event"] == event]

    def probe(self, path: str) -> tuple[int, str]:
        """Ask as kubelet does."""
        return self.ask(path, port=PROBE_PORT, host=_PROBE_HOST)

    def certs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("/certs")[1])
        return found


@dataclass(slots=True, kw_only=True)
class PodLab:
    """A pod, and the part of the cluster that matters to it."""

    directory: Path
    api: ApiServer
    backend_port: int
    got: list[Got]
    state: State
    holder: int

    @property
    def issuer(self) -> Path:
        return self.directory / "issuer"

    @property
    def trust(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def token(self) -> Path:
        return self.directory / "token"

    @contextmanager
    def service(self, **environment: str) -> Iterator[CertsService]:
        variables = {"KECS_CERTS_BURST": "100000"} | environment
        with certs_service(self.api, self.issuer, self.directory, port=CERTS_PORT, environment=variables) as service:
            yield service

    def become(self, state: State, service: CertsService) -> None:
        """Provide another issuer, and wait until it is taken."""
        write_issuer(self.issuer, state.authority)
        self.state = state
        service.next_line("issuer_loaded")

    def environment(self, **more: str) -> dict[str, str]:
        config = configuration(backend_port=self.backend_port, profile="localstack", engine="off")
        return {
            "PATH": os.environ["PATH"],
            "KECS_SIDECAR_CONFIG": config.to_json(),
            "KECS_SIDECAR_CERTS_URL": f"https://{SERVICE_NAME}:{CERTS_PORT}",
            "KECS_SIDECAR_TOKEN_FILE": str(self.token),
            "KECS_SIDECAR_TRUST_FILE": str(self.trust),
            "KECS_SIDECAR_POLL_S": "0.2",
            "KECS_SIDECAR_ADMIN_HOST": "127.0.0.1",
            "KECS_SIDECAR_PROBE_HOST": _PROBE_HOST,
            "KECS_SIDECAR_DNS": "off",
            "POD_NAME": "app",
            "POD_NAMESPACE": "demo",
            "POD_UID": "uid-app",
            "POD_IP": _PROBE_HOST,
        } | more

    @contextmanager
    def sidecar(self, **more: str) -> Iterator[SidecarProcess]:
        enter = shutil.which("nsenter") or "nsenter"
        process = subprocess.Popen(
            [enter, f"--mount=/proc/{self.holder}/ns/mnt", sys.executable, "-m", "kecs.sidecar"],
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            text=True,
            group=PROXY_GID,
        )
        try:
            yield SidecarProcess(process=process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()

    def refused(self, **more: str) -> tuple[int, str]:
        """Start a sidecar that can't run; return its code and what it says."""
        command = [sys.executable, "-m", "kecs.sidecar"]
        environment = self.environment(**more)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return done.returncode, done.stderr

    def connect(self, port: int = 443) -> socket.socket:
        """Dial the world, as the pod's program does."""
        return socket.create_connection((AWS, port), timeout=PATIENCE_S)

    def tls(self, roots: bytes, name: str = S3) -> ssl.SSLSocket:
        """Shake hands as a client that trusts these roots alone."""
        context = ssl.create_default_context(cadata=roots.decode())
        sock = self.connect()
        try:
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise


def called(tls: ssl.SSLSocket, path: str = "/k") -> int:
    """Call S3 on a connection, and leave it open."""
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(tls)
    answer.begin()
    answer.read()
    return answer.status


@contextmanager
def pod_lab(directory: Path) -> Iterator[PodLab]:
    assert os.geteuid() == 0, "these tests take root: a thread can enter a namespace as root alone"
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {SERVICE_NAME}\n", encoding="utf-8")
    with ExitStack() as stack:
        outer = stack.enter_context(namespace())
        holder = stack.enter_context(_mounted(hosts))
        outer.ip(f"addr add {AWS}/32 dev lo\n")
        outer.run("iptables-restore", stdin=_RULES)
        stack.enter_context(entered(outer.pid))
        api = stack.enter_context(api_server())
        got: list[Got] = []
        port = stack.enter_context(backend(got))
        state = new_state()
        lab = PodLab(directory=directory, api=api, backend_port=port, got=got, state=state, holder=holder)
        lab.issuer.mkdir()
        write_issuer(lab.issuer, state.authority)
        lab.trust.write_bytes(state.authority.bundle_pem)
        lab.token.write_text("good\n", encoding="ascii")
        api.tokens["good"] = review()
        api.put("pods", pod())
        yield lab


@contextmanager
def _mounted(hosts: Path) -> Iterator[int]:
    """Hold a mount namespace with another hosts file; yield the id of the process that does."""
    script = 'mount --bind "$1" /etc/hosts && echo $$ && exec cat'
    command = ["unshare", "--mount", "sh", "-ec", script, "sh", str(hosts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        pid = int(holder.stdout.readline())
        yield pid
        holder.stdin.close()
