"""The sidecar of a pod as a process: what it is told, what it loads, how it ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sidecar_lab import configuration
from sidecar_service_lab import PATIENCE_S, authority

COMMAND = [sys.executable, "-m", "kecs.sidecar"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in held]


def environment(tmp_path: Path) -> dict[str, str]:
    chain, key = authority()[1].to_pem()
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    relay, dns, admin = free_ports(3)
    return {
        "KECS_SIDECAR_CONFIG": configuration().to_json(),
        "KECS_SIDECAR_CHAIN_FILE": str(tmp_path / "chain.pem"),
        "KECS_SIDECAR_KEY_FILE": str(tmp_path / "key.pem"),
        "KECS_SIDECAR_DNS": "capture",
        "KECS_SIDECAR_RELAY_PORT": str(relay),
        "KECS_SIDECAR_DNS_PORT": str(dns),
        "KECS_SIDECAR_ADMIN_PORT": str(admin),
    }


def ready(port: int, process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Ask until it answers, or has ended."""
    while True:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            asking.request("GET", "/readyz")
            answer = asking.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            assert process.poll() is None
        finally:
            asking.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    told = environment(tmp_path)
    with subprocess.Popen(COMMAND, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            status, checks = ready(int(told["KECS_SIDECAR_ADMIN_PORT"]), process)
            assert (status, json.loads(checks)["ready"]) == (200, True)
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"KECS_SIDECAR_CONFIG": ""}, 2, "KECS_SIDECAR_CONFIG is not set"),
        ({"KECS_SIDECAR_CONFIG": "{}"}, 2, "lacks backend_host"),
        ({"KECS_SIDECAR_KEY_FILE": "/nonexistent/key"}, 2, "/nonexistent/key can't be read"),
        ({"KECS_SIDECAR_RELAY_PORT": "many"}, 2, "KECS_SIDECAR_RELAY_PORT 'many' is no port"),
        ({"KECS_SIDECAR_ADMIN_HOST": "192.0.2.1"}, 1, "of 192.0.2.1 can't be listened on"),
    ],
)
def test_what_is_wrong_is_one_line(change: dict[str, str], code: int, says: str, tmp_path: Path) -> None:
    told = environment(tmp_path) | change
    done = subprocess.run(COMMAND, env=told, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == code
    error, *hints = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert says in error
    assert all(hint.startswith("hint: ") for hint in hints)
    assert len(hints) <= 1


def test_it_loads_nothing_that_it_does_not_need() -> None:
    """A sidecar stands beside every pod: what it loads, it costs everywhere."""
    heavy = ["mitmproxy", "structlog", "pydantic", "fastapi", "prometheus_client", "botocore", "rich", "pyroute2"]
    text = f"import sys, json, kecs.sidecar.__main__; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert json.loads(done.stdout) == []
