"""A client that waits to be told to go on, and a backend that does not tell it.

No time has to pass here: sessions are shown a clock that is a minute later, which is the backend's time to speak.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.relay.decide import Upstream
from kecs.relay.relay import RelayConfig

HOST = b"Host: s3.us-east-1.amazonaws.com\r\n"
EXPECTS = b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONFIG = RelayConfig(peek_timeout_s=5, continue_timeout_s=60, body_timeout_s=900)


class Backend:
    """Reads heads; says, does and reads what the test has it do."""

    def __init__(self, act: "Callable[[Backend, socket.socket], None]") -> None:
        self._act = act
        self.asked, self.goes_on = threading.Semaphore(0), threading.Semaphore(0)
        self.held = bytearray()

    def __call__(self, sock: socket.socket) -> None:
        self.held.clear()
        while read_head(sock, self.held):
            self._act(self, sock)

    def stop(self) -> None:
        """Wait until the test goes on."""
        self.asked.release()
        assert self.goes_on.acquire(timeout=PATIENCE_S)

    def read_body(self, sock: socket.socket) -> None:
        self.asked.release()
        assert read_exactly(sock, 5, self.held) == b"hello"


@contextlib.contextmanager
def scene(act: Callable[[Backend, socket.socket], None]) -> Iterator[tuple[Lab, Backend, socket.socket]]:
    backend = Backend(act)
    with server(backend) as address:
        script = Script(upstream=Upstream(host=address.host, port=address.port))
        with Lab(script, CONFIG) as lab, lab.connect() as sock:
            yield lab, backend, sock


def look_at_the_clock(lab: Lab) -> None:
    """Let sessions look at the clock, on which a minute has passed."""

    def look() -> None:
        for session in list(lab.relay._sessions):
            session.check(lab.loop.time() + 61)

    lab.call(look)


def ask(lab: Lab, backend: Backend, sock: socket.socket, *, get: bytes = b"") -> None:
    """Send the head; let the backend read it; get what it says of itself; let a minute pass."""
    sock.sendall(EXPECTS)
    assert backend.asked.acquire(timeout=PATIENCE_S)
    assert read_exactly(sock, len(get)) == get
    look_at_the_clock(lab)


def get(sock: socket.socket, *wanted: bytes) -> None:
    for one in wanted:
        assert read_exactly(sock, len(one)) == one


def test_the_relay_says_it_once_for_each_request() -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        backend.read_body(sock)
        sock.sendall(OK)

    with scene(act) as (lab, backend, sock):
        for _ in range(3):
            ask(lab, backend, sock)
            get(sock, CONTINUE)
            look_at_the_clock(lab)
            sock.sendall(b"hello")
            get(sock, OK)
        assert lab.relay.counters["continue_said"] == 3
        assert lab.relay.counters["upstream_dialled"] == 1


@pytest.mark.parametrize(
    ("said", "told"), [(CONTINUE, 0), (CONTINUE + CONTINUE, 0), (HINT, 1), (HINT + CONTINUE + HINT, 0)]
)
def test_what_the_backend_has_said_is_passed_and_counts(said: bytes, told: int) -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        sock.sendall(said)
        backend.read_body(sock)
        sock.sendall(OK)

    with scene(act) as (lab, backend, sock):
        ask(lab, backend, sock, get=said)
        get(sock, *[CONTINUE] * told)
        look_at_the_clock(lab)
        sock.sendall(b"hello")
        get(sock, OK)
        assert lab.relay.counters["continue_said"] == told


@pytest.mark.parametrize("late", [CONTINUE, CONTINUE + CONTINUE, CONTINUE + HINT])
def test_what_it_says_late_is_no_news(late: bytes) -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        backend.stop()
        sock.sendall(late)
        backend.read_body(sock)
        sock.sendall(OK)

    with scene(act) as (lab, backend, sock):
        ask(lab, backend, sock)
        get(sock, CONTINUE)
        backend.goes_on.release()
        sock.sendall(b"hello")
        get(sock, late.replace(CONTINUE, b""), OK)


def test_nothing_is_said_into_an_answer() -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nab")
        backend.stop()
        sock.sendall(b"cd")

    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    with scene(act) as (lab, backend, sock):
        ask(lab, backend, sock, get=head + b"ab")
        backend.goes_on.release()
        assert read_all(sock) == b"cd"


def test_a_client_that_has_begun_is_told_nothing() -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        while len(backend.held) < 3:
            backend.held += sock.recv(3)
        backend.read_body(sock)
        sock.sendall(OK)

    with scene(act) as (lab, backend, sock):
        sock.sendall(EXPECTS + b"hel")
        assert backend.asked.acquire(timeout=PATIENCE_S)
        look_at_the_clock(lab)
        sock.sendall(b"lo")
        get(sock, OK)
        assert lab.relay.counters["continue_said"] == 0


@pytest.mark.parametrize("sent", [b"", b"hello"], ids=["before the body", "behind the body"])
def test_a_backend_that_dies_then_is_told_as_ever(sent: bytes) -> None:
    def act(backend: Backend, sock: socket.socket) -> None:
        backend.stop()
        read_exactly(sock, len(sent), backend.held)
        sock.close()

    with scene(act) as (lab, backend, sock):
        ask(lab, backend, sock)
        get(sock, CONTINUE)
        sock.sendall(sent)
        backend.goes_on.release()
        assert read_head(sock, bytearray()).startswith(b"HTTP/1.1 503 ")


def test_a_client_is_told_once_when_its_request_is_said_again() -> None:
    """A kept connection dies behind the 100: the request goes to the next one, and the client knows nothing of it."""
    heads: list[bytes] = []

    def act(backend: Backend, sock: socket.socket) -> None:
        heads.append(b"")
        if len(heads) == 2:
            backend.stop()
            sock.close()
        elif len(heads) == 3:
            backend.read_body(sock)
        sock.sendall(OK)

    with scene(act) as (lab, backend, sock):
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        get(sock, OK)
        sock.sendall(EXPECTS.replace(b"PUT", b"GET"))  # may be repeated whatever the backend has seen
        assert backend.asked.acquire(timeout=PATIENCE_S)
        look_at_the_clock(lab)
        get(sock, CONTINUE)
        backend.goes_on.release()
        assert backend.asked.acquire(timeout=PATIENCE_S)
        look_at_the_clock(lab)
        sock.sendall(b"hello")
        get(sock, OK)
        assert lab.relay.counters["continue_said"] == 1
        assert lab.relay.counters["upstream_stale"] == 1


def test_nobody_is_told_before_a_backend_has_the_request() -> None:
    """The kept connection dies, and there is no other yet: who sent its body now might send it to nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        listener.settimeout(PATIENCE_S)
        address = listener.getsockname()
        script = Script(upstream=Upstream(host=address[0], port=address[1]))
        lab = stack.enter_context(Lab(script, CONFIG))
        sock = stack.enter_context(lab.connect())
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        kept, _ = listener.accept()
        held = bytearray()
        read_head(kept, held)
        kept.sendall(OK)
        get(sock, OK)
        for _ in range(4):  # they fill the queue: who comes later is not answered
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(address)
        sock.sendall(EXPECTS.replace(b"PUT", b"GET"))
        read_head(kept, held)
        kept.close()
        until(lambda: lab.relay.counters["upstream_dialled"] == 2)
        look_at_the_clock(lab)
        assert lab.relay.counters["continue_said"] == 0
