"""The process around it: ready when it says so, gone with its parent, deaf to the caller's AWS settings, no network."""

import os
import socket
import subprocess
import sys
import time

import pytest
from emulator_lab import running

from kecs.emulator import seclusion


def test_ready_soon_and_gone_on_sigterm_even_in_a_long_poll(name: str) -> None:
    began = time.monotonic()
    with running("--account", "111122223333") as emulator:
        ready = time.monotonic() - began
        sqs = emulator.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        assert "/111122223333/" in url
        body = b"Action=ReceiveMessage&Version=2012-11-05&WaitTimeSeconds=20"
        with socket.create_connection(("127.0.0.1", emulator.port)) as poll:
            head = f"POST /111122223333/{name} HTTP/1.1\r\nHost: sqs.us-east-1.amazonaws.com\r\n"
            form = "Content-Type: application/x-www-form-urlencoded\r\n"
            poll.sendall(f"{head}{form}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            sqs.list_queues()
            emulator.process.terminate()
            assert emulator.process.wait(8) == 0
    assert ready < 20  # 1.2 s on an idle machine


def test_gone_when_the_control_descriptor_ends() -> None:
    theirs, ours = os.pipe()
    with running("--control-fd", str(theirs), control=theirs) as emulator:
        os.close(theirs)
        os.close(ours)
        assert emulator.process.wait(10) == 0


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_an_address_of_its_own_needs_no_caller(free_port: int, host: str) -> None:
    command = [sys.executable, "-m", "kecs.emulator", "--listen", f"{host}:{free_port}", "--ready-fd", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdout.readline() == "ready\n"
        with socket.create_connection(("127.0.0.1", free_port), timeout=10) as connection:
            connection.sendall(b"GET /_kecs/health HTTP/1.1\r\nHost: 10.0.0.7:4566\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        emulator.terminate()
        assert emulator.wait(10) == 0


@pytest.mark.parametrize("address", ["4566", ":4566", "localhost:http"])
def test_what_is_no_address_is_refused(address: str) -> None:
    command = [sys.executable, "-m", "kecs.emulator", "--listen", address]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert found.returncode == 2
    assert f"{address!r} is not HOST:PORT" in found.stderr


def test_callers_settings_do_not_reach_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    with running() as emulator:
        monkeypatch.undo()
        assert emulator.client("sts").get_caller_identity()["Account"] == "000000000000"


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        pytest.param("socket.create_connection(('192.0.2.1', 80))", False, id="address elsewhere"),
        pytest.param("socket.create_connection(('2001:db8::1', 80))", False, id="IPv6 address elsewhere"),
        pytest.param("socket.getaddrinfo('sns.us-east-1.amazonaws.com', 443)", False, id="name of AWS"),
        pytest.param("socket.getaddrinfo(b'host.docker.internal', 443)", False, id="name as bytes"),
        pytest.param("socket.getaddrinfo('localhost', 80)", True, id="localhost"),
        pytest.param("socket.create_connection(('127.0.0.1', PORT))", True, id="loopback"),
        pytest.param(
            "socket.create_connection(('::1', PORT)) if socket.has_ipv6 and V6 else 0", True, id="IPv6 loopback"
        ),
    ],
)
def test_no_connection_leaves_the_machine(*, statement: str, allowed: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = (
            "import socket; from kecs.emulator.seclusion import close_network; close_network(); "
            f"PORT = {port}; V6 = False; {statement}"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) is allowed
    assert allowed or "the emulator does not" in ran.stderr


def test_the_environment_is_ours() -> None:
    environ = {"AWS_PROFILE": "x", "MOTO_PORT": "1", "BOTO_CONFIG": "x", "PATH": "/bin"}
    seclusion.clear_environment(environ)
    assert environ == {"PATH": "/bin", **seclusion.SETTINGS}
