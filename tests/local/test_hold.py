"""Held SYNs in the kernel's own queue: what is answered, what is counted, and what happens without an answer."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespace_lab import Lab, free_port, lab, processes_with, server, users

CONNECT = """
import socket, sys, time
for port in map(int, sys.argv[2:]):
    started = time.monotonic()
    try:
        with socket.create_connection((sys.argv[1], port), 15) as s:
            print(s.recv(100).decode(), end=" ")
    except OSError as error:
        print(type(error).__name__, end=" ")
    print("at once" if time.monotonic() - started < 0.9 else "late")
"""


@pytest.fixture(params=users(), ids=lambda user: "root" if user == 0 else "user")
def here(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(request.param) as one:
        yield one


def counts(**said: int) -> dict[str, int]:
    names = ("held", "passed", "refused", "unanswered", "untaken", "overflow", "accepted", "published")
    return dict.fromkeys(names, 0) | said


def test_each_connection_is_held_dialled_once_and_taken(here: Lab) -> None:
    accepted = []

    def talk(client: socket.socket) -> None:
        accepted.append(client.getpeername())
        client.sendall(b"hello")

    with server(talk) as port:
        program = CONNECT.replace("print(", "0 and print(")
        report = here.report(sys.executable, "-c", program, "127.0.0.1", *[str(port)] * 30, str(free_port()))
    assert report["peer"] == counts(held=31, refused=1, accepted=30)
    assert len(accepted) == 30


def test_refusals_are_immediate(here: Lab) -> None:
    ports = [str(free_port()) for _ in range(5)]
    ran = here.run(sys.executable, "-c", CONNECT, "127.0.0.1", *ports)
    assert ran.stdout.splitlines() == ["ConnectionRefusedError at once"] * 5


def test_metadata_is_passed_undialled(here: Lab) -> None:
    program = (
        "import socket; s = socket.create_connection(('169.254.169.254', 80), 15); s.shutdown(1); s.recv(99); s.recv(1)"
    )
    report = here.report(sys.executable, "-c", program)
    assert (report["peer"]["held"], report["peer"]["passed"], report["peer"]["accepted"]) == (0, 1, 1)


def test_a_destination_that_never_answers_is_a_timeout_of_the_client_and_dialled_once(here: Lab) -> None:
    program = """if True:
        import socket, sys
        with socket.socket() as s:
            s.settimeout(3.5)
            try: s.connect(("127.0.0.1", int(sys.argv[1])))
            except TimeoutError: print("timeout")
    """
    with socket.socket() as busy, socket.socket() as first, socket.socket() as second:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for filler in (first, second):  # a full accept queue drops SYNs, as a host that is down would
            filler.settimeout(0)
            filler.connect_ex(busy.getsockname())
        report = here.report(sys.executable, "-c", program, str(busy.getsockname()[1]))
    # the client sent its SYN at 0, 1 and 3 s
    assert report["peer"] == counts(held=1)


def test_when_the_sidecar_dies_connections_are_refused_and_the_command_lives(here: Lab) -> None:
    program = f"import sys; sys.stdin.readline(); exec({CONNECT!r})"
    mark = f"KECS_TEST_MARK={here.directory}"
    with (
        server(lambda client: client.sendall(b"hello")) as port,
        here.started(
            sys.executable,
            "-c",
            f"print('up', flush=True); {program}",
            "127.0.0.1",
            str(port),
            KECS_TEST_MARK=str(here.directory),
        ) as run,  # fmt: skip
    ):
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        (peer,) = [pid for pid in processes_with(mark) if b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        descriptor = os.pidfd_open(peer)
        os.kill(peer, signal.SIGKILL)
        os.close(descriptor)
        out, _err = run.communicate("\n", timeout=60)
    assert out == "ConnectionRefusedError at once\n"


def test_large_bodies_both_ways(here: Lab) -> None:
    def echo(client: socket.socket) -> None:
        while data := client.recv(1 << 16):
            client.sendall(data)

    program = """if True:
        import hashlib, socket, sys, threading
        data = bytes(range(256)) * (32 << 12)
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as s:
            threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
            print(b"".join(iter(lambda: s.recv(1 << 16), b"")) == data)
    """
    with server(echo) as port:
        assert here.python(program, str(port)) == "True"
