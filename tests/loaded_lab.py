"""A pod's sidecar as its own process, redirected to in a network namespace, in front of a backend that a test scripts.

Its intermediate lies in files. The calling thread enters the namespace: what it dials at `AWS` arrives at the sidecar.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from identity_lab import AWS, S3, entered
from prometheus_client.parser import text_string_to_metric_families
from relay_lab import Handler, read_head, server
from rules_lab import namespace
from sidecar_lab import configuration
from sidecar_service_lab import authority

from kecs.core.names import ADMIN_PORT, PROBE_PORT, PROXY_GID, RELAY_PORT

PATIENCE_S: Final = 40
PROBE_HOST: Final = "127.0.0.2"
REQUEST: Final = f"GET /k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode()
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_RULES: Final = f"""
*nat
-A OUTPUT -d {AWS} -p tcp -m owner ! --gid-owner {PROXY_GID} -j REDIRECT --to-ports {RELAY_PORT}
-A OUTPUT -d 198.19.0.0/16 -p tcp -m owner ! --gid-owner {PROXY_GID} -j REDIRECT --to-ports {RELAY_PORT}
COMMIT
"""


def ok(sock: socket.socket) -> None:
    """Answer every request of a connection."""
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


@dataclass(slots=True, kw_only=True)
class Loaded:
    """The running sidecar."""

    process: subprocess.Popen[str]
    root: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read_log(self) -> None:
        """Take the log's lines as they come; each has to be one whole record."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(text))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait_line(self, holds: Callable[[list[dict[str, Any]]], object]) -> None:
        """Wait until the log is as a test wants it."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self.lines), PATIENCE_S), self.lines[-20:]

    def events(self, name: str) -> list[dict[str, Any]]:
        with self.changed:
            return [line for line in self.lines if line["event"] == name]

    def connect(self, address: str = AWS, port: int = 443) -> socket.socket:
        """Dial the world, as the pod's program does."""
        return socket.create_connection((address, port), timeout=PATIENCE_S)

    def tls(self, name: str = S3, *, alpn: tuple[str, ...] = ()) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.root)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        sock = self.connect()
        try:
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def ask(self, path: str, *, port: int = ADMIN_PORT, host: str = "127.0.0.1") -> tuple[int, str]:
        """Ask the admin port, as soon as it is there."""
        while True:
            with closing(http.client.HTTPConnection(host, port, timeout=PATIENCE_S)) as asking:
                try:
                    asking.request("GET", path)
                    answer = asking.getresponse()
                    return answer.status, answer.read().decode()
                except ConnectionRefusedError:
                    assert self.process.poll() is None, "it has ended"

    def probe(self, path: str) -> tuple[int, str]:
        """Ask as kubelet does."""
        return self.ask(path, port=PROBE_PORT, host=PROBE_HOST)

    def told(self, path: str) -> Any:
        return json.loads(self.ask(path)[1])

    def metrics(self) -> dict[str, float]:
        """Read /metrics as Prometheus does: samples by name and label values."""
        text = self.ask("/metrics")[1]
        return {
            ":".join((sample.name, *(value for _, value in sorted(sample.labels.items())))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def end(self) -> int:
        """End it as kubelet does, and wait."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def until(holds: Callable[[], object]) -> None:
    """Wait for what nobody announces; processes start slowly on a machine that has other things to do."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.02)


def call(sock: socket.socket) -> int:
    """Make a call on a connection, and leave it open; return its status."""
    sock.sendall(REQUEST)
    return status_of(sock)


def status_of(sock: socket.socket) -> int:
    """Read one answer."""
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    answer.read()
    return answer.status


@contextmanager
def loaded(
    directory: Path,
    handler: Handler = ok,
    *,
    descriptors: int = 0,
    resolv_conf: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **config: object,
) -> Iterator[Loaded]:
    """Run a sidecar; with `descriptors`, it may have no more of them."""
    assert os.geteuid() == 0, "these tests take root: a thread can enter a namespace as root alone"
    root, intermediate = authority()
    chain, key = intermediate.to_pem()
    (directory / "chain.pem").write_bytes(chain)
    (directory / "key.pem").write_bytes(key)
    with ExitStack() as stack:
        outer = stack.enter_context(namespace())
        outer.ip(f"addr add {AWS}/32 dev lo\nroute add 198.19.0.0/16 dev lo\n")
        outer.run("iptables-restore", stdin=_RULES)
        stack.enter_context(entered(outer.pid))
        address = stack.enter_context(server(handler))
        told = {
            "PATH": os.environ["PATH"],
            "KECS_SIDECAR_CONFIG": configuration(
                **{"backend_port": address.port, "engine": "off", "drain_quiet_s": 0.0, **config}
            ).to_json(),
            "KECS_SIDECAR_CHAIN_FILE": str(directory / "chain.pem"),
            "KECS_SIDECAR_KEY_FILE": str(directory / "key.pem"),
            "KECS_SIDECAR_PROBE_HOST": PROBE_HOST,
            **(environment or {}),
        }
        command = [sys.executable, "-m", "kecs.sidecar"]
        if resolv_conf is not None:
            bind = 'mount --bind "$0" /etc/resolv.conf && exec setpriv --regid "$1" --clear-groups "$2" -m kecs.sidecar'
            command = ["unshare", "--mount", "sh", "-ec", bind, str(resolv_conf), str(PROXY_GID), sys.executable]
        if descriptors:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", "--", *command]
        group = PROXY_GID if resolv_conf is None else None
        process = subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True, group=group)
        found = Loaded(process=process, root=root)
        reader = threading.Thread(target=found.read_log, daemon=True)
        reader.start()
        try:
            assert found.ask("/livez")[0] == 200
            yield found
        finally:
            found.end()
            reader.join(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()
