"""What one issuance costs the certificate service: CPU of its own process, and how long a pod waits.

    .venv/bin/python benchmarks/issuance.py [--rounds 5] [--issuances 300]

The service runs as in a cluster: a process of its own, TLS 1.3, an issuer in mounted files; TokenReview and pods are
answered by a fake API server in this process. Every issuance is a connection of its own, as a sidecar makes one a day.
`poll` is what sidecars ask every minute. `kept` is an issuance over a connection that is there already: what remains is
the service's own work, without the handshake. The figures are medians over rounds, with the lowest and the highest.
"""

import argparse
import http.client
import itertools
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from certs_service_lab import SERVICE_NAME, certs_service, new_state, pod, review, write_issuer
from kube_lab import ApiServer, api_server

from kecs.certs.authority import new_key
from kecs.certs.csr import make

TARGET_MS = 2.0
WARM = 50


def cpu_s(process: int) -> float:
    """Return the CPU that all threads of a process have used (proc(5): schedstat, in nanoseconds)."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


class Pods:
    """Sidecars of many pods, one after the other. Each has a token and a key of its own."""

    def __init__(self, api: ApiServer, port: int, roots: bytes) -> None:
        self._api = api
        self._port = port
        self._tls = ssl.create_default_context(cadata=roots.decode())
        self._numbers = itertools.count()
        self._kept: http.client.HTTPConnection | None = None

    def issue(self) -> float:
        """Have an intermediate issued; return the milliseconds from connecting to the answer's end."""
        return self._issued(self._ask)

    def issue_kept(self) -> float:
        """Have one issued on the connection of the last one."""
        return self._issued(self._ask_kept)

    def _issued(self, ask: Callable[[str, str, bytes, dict[str, str]], float]) -> float:
        name = f"app-{next(self._numbers)}"
        self._api.tokens[name] = review(name, f"uid-{name}")
        self._api.put("pods", pod(name, f"uid-{name}"))
        csr = make(new_key(), f"demo/{name}")
        spent = ask("POST", "/v1/intermediate", csr, {"Authorization": f"Bearer {name}"})
        del self._api.tokens[name]
        self._api.remove("pods", name, "demo")
        return spent

    def poll(self) -> float:
        """Ask which issuer signs."""
        return self._ask("GET", "/v1/authority", b"", {})

    def _connected(self) -> http.client.HTTPConnection:
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = http.client.HTTPConnection(SERVICE_NAME)
        connection.sock = self._tls.wrap_socket(plain, server_hostname=SERVICE_NAME)
        return connection

    def _ask_kept(self, method: str, path: str, body: bytes, fields: dict[str, str]) -> float:
        if self._kept is None:
            self._kept = self._connected()
        started = time.perf_counter()
        self._kept.request(method, path, body=body, headers=fields)
        answer = self._kept.getresponse()
        answer.read()
        assert answer.status == http.HTTPStatus.OK, answer.status
        return (time.perf_counter() - started) * 1000

    def close(self) -> None:
        """Close the connection that was kept."""
        if self._kept is not None:
            self._kept.close()

    def _ask(self, method: str, path: str, body: bytes, fields: dict[str, str]) -> float:
        started = time.perf_counter()
        connection = self._connected()
        connection.request(method, path, body=body, headers={**fields, "Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == http.HTTPStatus.OK, answer.status
        return (time.perf_counter() - started) * 1000


def measured(process: int, rounds: int, count: int, work: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Return the CPU per piece of work, a figure for each round, and how long each piece took; in milliseconds."""
    cpu, latency = [], []
    for _ in range(rounds):
        before = cpu_s(process)
        latency += [work() for _ in range(count)]
        cpu.append((cpu_s(process) - before) * 1000 / count)
    return cpu, latency


def main() -> int:
    """Print the table; fail when an issuance costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--issuances", type=int, default=300, help="per round")
    options = parser.parse_args()
    state = new_state()
    with tempfile.TemporaryDirectory() as name, api_server() as api:
        issuer = Path(name, "issuer")
        issuer.mkdir()
        write_issuer(issuer, state.authority)
        with certs_service(api, issuer, Path(name)) as service:
            assert service.process.stdout is not None
            threading.Thread(
                target=service.process.stdout.readlines
            ).start()  # its log is a pipe, which may not fill up
            pods = Pods(api, service.port, state.authority.bundle_pem)
            print(f"{'':<12}{'CPU ms':>8}{'lowest':>8}{'highest':>9}{'wait ms p50':>13}{'p99':>8}")
            typical = 0.0
            for title, work in (("poll", pods.poll), ("kept", pods.issue_kept), ("issuance", pods.issue)):
                for _ in range(WARM):
                    work()
                cpu, latency = measured(service.process.pid, options.rounds, options.issuances, work)
                typical = statistics.median(cpu)
                p99 = statistics.quantiles(latency, n=100)[98]
                figures = (
                    f"{typical:>8.2f}{min(cpu):>8.2f}{max(cpu):>9.2f}{statistics.median(latency):>13.1f}{p99:>8.1f}"
                )
                print(f"{title:<12}{figures}")
            pods.close()
    print(f"target: {TARGET_MS:g} ms of CPU per issuance")
    return int(typical > TARGET_MS)


if __name__ == "__main__":
    sys.exit(main())
