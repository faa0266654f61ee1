"""CPU of one issuance in the certificate service's own process, TokenReview and pod answered by another one.

    .venv/bin/python benchmarks/issuance.py [BLOCKS]

A block is a hundred requests, each with a new request and another pod's token; each figure is the median of the blocks'
CPU time per request, as the kernel counts it for all threads of the process. `kept` asks over one TLS connection, `new`
makes one for each request, as sidecars do; `poll` is the question which issuer signs, on a new connection.
"""

import http.client
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from certs_service_lab import SERVICE_NAME, certs_service, new_state, pod, review, write_issuer
from kube_lab import api_server

from kecs.certs.authority import new_key
from kecs.certs.csr import make

BLOCKS = 10
REQUESTS = 100
TARGET_MS = 2.0


def cpu_s(pid: int) -> float:
    """Read the CPU time of a process, threads that have ended included (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


class Connection(http.client.HTTPSConnection):
    """A connection to the service, under its name."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(SERVICE_NAME, port)
        self.tls = context

    def connect(self) -> None:
        """Dial loopback."""
        plain = socket.create_connection(("127.0.0.1", self.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(plain, server_hostname=SERVICE_NAME)


def asked(connection: Connection, number: int, csr: bytes) -> None:
    """Have one intermediate issued."""
    connection.request("POST", "/v1/intermediate", csr, {"Authorization": f"Bearer token-{number}"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == HTTPStatus.OK, body


def polled(connection: Connection) -> None:
    """Ask which issuer signs."""
    connection.request("GET", "/v1/authority")
    assert connection.getresponse().read()


def measured(pid: int, block: Callable[[int], None], blocks: int) -> float:
    """Return the median CPU time of a request, in milliseconds."""
    block(0)
    spent = []
    for number in range(blocks):
        before = cpu_s(pid)
        block(number)
        spent.append((cpu_s(pid) - before) / REQUESTS * 1000)
    return statistics.median(spent)


def main(blocks: int) -> None:
    """Print the table."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        issuer = directory / "issuer"
        issuer.mkdir()
        state = new_state()
        write_issuer(issuer, state.authority)
        api = stack.enter_context(api_server())
        for number in range(REQUESTS):
            name, uid = f"app-{number}", f"uid-{number}"
            api.tokens[f"token-{number}"] = review(name=name, uid=uid)
            api.put("pods", pod(name, uid))
        settings = {"KECS_CERTS_BURST": "1000000"}
        service = stack.enter_context(certs_service(api, issuer, directory, environment=settings))
        pid = service.process.pid
        context = ssl.create_default_context(cadata=state.authority.bundle_pem.decode())
        csrs = [make(new_key()) for _ in range(REQUESTS)]
        kept = stack.enter_context(closing(Connection(service.port, context)))

        def on_one(_block: int) -> None:
            for number, csr in enumerate(csrs):
                asked(kept, number, csr)

        def on_new(_block: int) -> None:
            for number, csr in enumerate(csrs):
                with closing(Connection(service.port, context)) as one:
                    asked(one, number, csr)

        def polls(_block: int) -> None:
            for _ in csrs:
                with closing(Connection(service.port, context)) as one:
                    polled(one)

        drained(service.process.stdout)
        print(f"{'requests':<10}{'CPU ms':>8}")
        for name, block in (("kept", on_one), ("new", on_new), ("poll", polls)):
            figure = measured(pid, block, blocks)
            verdict = f"  target {TARGET_MS:g}: {'met' if figure <= TARGET_MS else 'missed'}" if name == "kept" else ""
            print(f"{name:<10}{figure:>8.2f}{verdict}")


def drained(stream: object) -> None:
    """Read the service's log away on a thread, or it would stop when the pipe is full."""
    import threading  # noqa: PLC0415 - here alone

    def read() -> None:
        for _ in stream:  # type: ignore[attr-defined]  # a text stream
            pass

    threading.Thread(target=read, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else BLOCKS)
