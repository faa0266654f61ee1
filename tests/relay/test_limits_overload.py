"""Too many at once: a fast 503 in the reserve, a reset above it, and room again afterwards."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_all, read_head, server, until

from kecs.relay.decide import Address, Look, Refuse, Upstream, Wire
from kecs.relay.relay import RelayConfig

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PUT = b"PUT / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n"


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


def connect_and_listen(address: Address) -> bytes:
    """Connecting may fail already: the reset is on its way then."""
    with socket.create_connection(address, PATIENCE_S) as sock:
        return sock.recv(10)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


@pytest.fixture
def backend() -> Iterator[Address]:
    with server(ok) as address:
        yield address


def config(**limits: float) -> RelayConfig:
    return RelayConfig(peek_timeout_s=10, **limits)  # type: ignore[arg-type]  # counts are whole in every test


def fill(lab: Lab, stack: ExitStack, count: int) -> list[socket.socket]:
    """Open connections that are carried, each with a request answered."""
    found = []
    for _ in range(count):
        sock = stack.enter_context(lab.connect())
        sock.sendall(REQUEST)
        assert sock.recv(100) == OK
        found.append(sock)
    return found


def test_a_connection_above_the_limit_is_answered_503_in_tls(backend: Address) -> None:
    with Lab(script(backend), config(connections_max=1)) as lab, ExitStack() as stack:
        (kept,) = fill(lab, stack, 1)
        with lab.connect_tls() as turned_away:
            turned_away.sendall(REQUEST)
            answer = read_all(turned_away)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Connection: close\r\n" in answer
        assert b"overload: connections_over_limit" in answer
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["", "connections_over_limit"])
        kept.sendall(REQUEST)
        assert kept.recv(100) == OK
        assert lab.relay.counters["connections_over_limit"] == 1


def test_a_body_on_its_way_does_not_keep_the_503_from_its_client(backend: Address) -> None:
    with Lab(script(backend), config(connections_max=1, linger_s=5)) as lab, ExitStack() as stack:
        fill(lab, stack, 1)
        with lab.connect() as turned_away:
            turned_away.sendall(PUT + b"Content-Length: 100000\r\n\r\n" + bytes(100000))
            assert read_all(turned_away).startswith(b"HTTP/1.1 503 ")


def test_above_the_reserve_connections_are_reset(backend: Address) -> None:
    told = script(backend)
    with Lab(told, config(connections_max=1, connections_reserve=1)) as lab, ExitStack() as stack:
        fill(lab, stack, 1)
        reserve = stack.enter_context(lab.connect_tls())
        with pytest.raises(ConnectionResetError):
            connect_and_listen(lab.address)
        told.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["connections_over_limit"])
        reserve.sendall(REQUEST)
        assert read_all(reserve).startswith(b"HTTP/1.1 503 ")
        assert lab.relay.counters["connections_over_limit"] == 2


def test_who_is_turned_away_leaves_room_in_the_reserve(backend: Address) -> None:
    with Lab(script(backend), config(connections_max=1, connections_reserve=1)) as lab, ExitStack() as stack:
        (kept,) = fill(lab, stack, 1)
        for _ in range(3):
            with lab.connect() as sock:
                sock.sendall(REQUEST)
                assert read_all(sock).startswith(b"HTTP/1.1 503 ")
            until(lambda: lab.relay.open == 1)
        kept.close()
        until(lambda: lab.relay.open == 0)
        fill(lab, stack, 1)


def test_nothing_is_passed_above_the_limit(backend: Address) -> None:
    with Lab(script(backend), config(connections_max=1), destination=backend) as lab, ExitStack() as stack:
        fill(lab, stack, 1)
        with lab.connect() as other:
            other.sendall(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                other.recv(1)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["connections_over_limit"])


def test_nothing_is_dialled_for_who_is_above_the_limit(backend: Address) -> None:
    told = script(backend)
    dialled = threading.Event()

    def noticed(sock: socket.socket) -> None:
        dialled.set()
        read_all(sock)

    with (
        server(noticed) as destination,
        Lab(told, config(connections_max=1), destination=destination) as lab,
        ExitStack() as stack,
    ):
        fill(lab, stack, 1)
        told.looks = Look.DIAL
        with lab.connect() as other:
            other.sendall(b"\0")
            with pytest.raises(ConnectionResetError):
                other.recv(1)
        assert not dialled.is_set()


def test_one_address_may_have_so_many(backend: Address) -> None:
    with Lab(script(backend), config(client_connections_max=2)) as lab, ExitStack() as stack:
        fill(lab, stack, 2)
        with lab.connect() as third:
            third.sendall(REQUEST)
            assert b"client_connections_over_limit" in read_all(third)
        other = stack.enter_context(socket.create_connection(lab.address, PATIENCE_S, source_address=("127.0.0.2", 0)))
        other.sendall(REQUEST)
        assert other.recv(100) == OK


def test_requests_that_wait_have_a_limit_and_the_connection_goes_on() -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def slow(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            begun.release()
            assert go.wait(PATIENCE_S)
            sock.sendall(OK)

    with server(slow) as address, Lab(script(address), config(requests_max=2)) as lab, ExitStack() as stack:
        busy = [stack.enter_context(lab.connect()) for _ in range(2)]
        for sock in busy:
            sock.sendall(REQUEST)
            assert begun.acquire(timeout=PATIENCE_S)
        third = stack.enter_context(lab.connect())
        third.sendall(REQUEST)
        answer = third.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"requests_over_limit" in answer
        assert b"Connection: close" not in answer
        go.set()
        for sock in busy:
            assert sock.recv(100) == OK
        until(lambda: lab.relay._pool.waiting == 0)
        third.sendall(REQUEST)
        assert third.recv(100) == OK
        lab.script.wait(
            lambda seen: sorted(one.reason for one in seen.exchanges) == ["", "", "", "requests_over_limit"]
        )
        assert lab.relay.counters["requests_over_limit"] == 1


@pytest.mark.parametrize(
    ("handler", "request_bytes"),
    [
        pytest.param(lambda sock: sock.sendall(OK), REQUEST, id="answered"),
        pytest.param(lambda sock: sock.close(), REQUEST, id="closed"),
        pytest.param(lambda sock: sock.sendall(b"nonsense\r\n\r\n"), REQUEST, id="nonsense"),
        pytest.param(lambda sock: sock.sendall(OK), PUT + b"Content-Length: 5\r\n\r\n12345", id="with a body"),
        pytest.param(
            lambda sock: sock.sendall(OK),
            PUT + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            id="a body that breaks off",
        ),
        pytest.param(
            lambda sock: sock.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            id="switched",
        ),
    ],
)
def test_every_end_of_a_request_is_counted_out(handler: object, request_bytes: bytes) -> None:
    def serve(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        handler(sock)  # type: ignore[operator]

    with server(serve) as address, Lab(script(address), config()) as lab:
        with lab.connect() as sock:
            sock.sendall(request_bytes)
            sock.recv(1000)
        until(lambda: lab.relay.open == 0)
        assert lab.relay._pool.waiting == 0


def test_listeners_with_room_of_their_own_are_reached_whatever_clients_do(backend: Address) -> None:
    """A probe must not fail because the pod's application is busy; and whoever floods the probe's port ends himself."""
    told = script(backend)
    told.looks = Look.SERVE
    with Lab(told, config(connections_max=1)) as lab, ExitStack() as stack:
        probe = socket.create_server(("127.0.0.1", 0))
        lab.call(lambda: lab.relay.listen(probe, origin="probe", room=2))
        fill(lab, stack, 1)
        address = Address(*probe.getsockname()[:2])
        asking = [stack.enter_context(socket.create_connection(address, PATIENCE_S)) for _ in range(2)]
        for sock in asking:
            sock.sendall(REQUEST)
            assert sock.recv(100) == OK
        third = stack.enter_context(socket.create_connection(address, PATIENCE_S))
        third.sendall(REQUEST)
        assert third.recv(100) == OK
        assert asking[0].recv(1) == b"", "the oldest gives way"
        asking[1].sendall(REQUEST)
        assert asking[1].recv(100) == OK
        assert lab.relay.counters["own_connections_evicted"] == 1
        assert lab.relay.occupancy.clients == 1


def test_a_refusal_leaves_nothing_behind(backend: Address) -> None:
    told = script(backend)
    told.verdicts = {Wire.TLS: Refuse(reason="wants_client_certificate")}
    with Lab(told, config(connections_max=1)) as lab:
        for _ in range(3):
            with pytest.raises(OSError, match=r"reset|EOF"):
                lab.connect_tls()
            until(lambda: lab.relay.open == 0)
        assert lab.relay.occupancy.clients == 0
        assert lab.relay.counters["connections_over_limit"] == 0
