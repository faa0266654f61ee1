"""Faults of others: leaves that can't be minted, descriptors that run out, loops, backends behind TLS."""

import contextlib
import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_head, server

from kecs.relay import peek
from kecs.relay.config import RelayConfig
from kecs.relay.contexts import Contexts
from kecs.relay.decide import Address, Connection, Peeked, Upstream, Wire
from kecs.relay.original import is_local
from kecs.relay.tls import TlsSocket

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def reports(lab: Lab) -> list[BaseException]:
    """Collect what the loop is told of."""
    found: list[BaseException] = []
    lab.loop.set_exception_handler(lambda _, context: found.append(context["exception"]))
    return found


def raising(*_: object) -> Any:
    raise KeyError("a fault")


def test_without_a_leaf_the_client_is_reset_at_once() -> None:
    with server(ok) as address, Lab(script(address)) as lab:
        found = reports(lab)
        lab.relay.contexts = Contexts(raising)
        with lab.connect() as sock, pytest.raises(OSError, match=r"reset|EOF"):
            lab.authority.client_context().wrap_socket(sock, server_hostname=NAME)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["tls_setup_failed"])
        assert [type(error) for error in found] == [KeyError]
        assert lab.relay.counters["refused_tls_setup_failed"] == 1


def test_bulk_is_copied_where_no_pipe_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    said = os.urandom(1 << 20)

    def none(_: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    with (
        server(lambda sock: sock.sendall(said)) as destination,
        Lab(script(destination), RelayConfig(peek_timeout_s=0.1)) as lab,
    ):
        lab.destination = destination
        monkeypatch.setattr("kecs.relay.tunnel.os.pipe2", none)
        with lab.connect() as sock:
            assert read_all(sock) == said


@pytest.mark.parametrize(
    ("bound", "wanted", "loops"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", True, id="the listener's own address"),
        pytest.param("0.0.0.0", "127.0.0.1", True, id="any address, wanted is the machine's"),
        pytest.param("0.0.0.0", "192.0.2.1", False, id="the same port of another machine"),
        pytest.param("127.0.0.1", "127.0.0.2", False, id="the same port of another address"),
    ],
)
def test_a_destination_that_is_the_listener_itself_is_refused(bound: str, wanted: str, *, loops: bool) -> None:
    """Dialling it would arrive here again, and again, until there are no descriptors."""
    dialled: list[Address] = []

    def dial(connection: Any, done: Callable[[OSError], None]) -> None:
        dialled.append(connection.destination)
        done(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))

    told = Script(upstream=Upstream(host="127.0.0.1", port=1))
    with Lab(told, dial=dial) as lab:
        listener = socket.create_server((bound, 0))
        port = listener.getsockname()[1]
        lab.call(lambda: lab.relay.listen(listener, original_destination=lambda _: Address(wanted, port)))
        with socket.create_connection(("127.0.0.1", port)) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"\0")
            assert read_all(sock) == b""
        told.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["loop" if loops else "dial_refused"])
    assert bool(dialled) is not loops


def test_local_addresses() -> None:
    assert is_local("127.0.0.1")
    assert is_local("::1")
    assert not is_local("192.0.2.1")
    assert not is_local("2001:db8::1")


def test_small_answers_are_not_held_back() -> None:
    """Nagle's algorithm would wait for an acknowledgement that the client delays by 40 ms."""
    accepted: list[socket.socket] = []
    with server(ok) as address, Lab(script(address)) as lab:
        serve: Callable[..., None] = lab.relay.serve

        def keep(sock: socket.socket | TlsSocket, connection: Connection, name: str) -> None:
            assert isinstance(sock, socket.socket)
            accepted.append(sock)
            serve(sock, connection, name)

        lab.relay.serve = keep  # type: ignore[method-assign] # to see the socket
        with lab.connect() as sock:
            sock.sendall(REQUEST.replace(b"Connection: close\r\n", b""))
            assert sock.recv(100) == OK
            assert accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        pytest.param("backend.example", b"HTTP/1.1 200 OK\r\n", id="its name"),
        pytest.param("other.example", b"HTTP/1.1 503 ", id="another name"),
        pytest.param(".", b"HTTP/1.1 503 ", id="no name"),
    ],
)
def test_a_backend_behind_tls_is_verified(name: str, answer: bytes) -> None:
    labs: list[Lab] = []

    def secure(sock: socket.socket) -> None:
        chain, key, _ = labs[0].authority.mint(("backend.example",))
        context = Contexts(lambda _: (chain, key, labs[0].authority.root.not_valid_after_utc)).get("backend.example")
        with context.wrap_socket(sock, server_side=True) as tls:
            ok(tls)

    def context_of_lab() -> ssl.SSLContext:
        return labs[0].authority.client_context()

    with server(secure) as address:
        told = Script(upstream=Upstream(host=address.host, port=address.port, tls_name=name))
        with Lab(told, upstream_tls=context_of_lab) as lab:
            labs.append(lab)
            with lab.connect() as sock:
                sock.sendall(REQUEST)
                assert read_all(sock).startswith(answer)


def test_a_backends_connection_that_is_long_idle_is_not_used_again() -> None:
    config = RelayConfig(pool_idle_timeout_s=0.1, linger_s=0.2)
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        ok(sock)
        ended.set()

    with server(serve) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert read_all(sock).endswith(b"ok")
        assert ended.wait(PATIENCE_S)
        assert lab.relay.counters["upstream_dialled"] == 1


def test_a_word_that_ends_in_a_line_feed_is_no_beginning_of_a_request() -> None:
    """Inline commands of other protocols must not wait for the peek time."""
    assert peek.look(b"PING\n") == Peeked(wire=Wire.OTHER)
    assert peek.look(b"PING") is None
