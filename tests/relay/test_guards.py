"""Faults of our own end one connection; arrivals that dawdle or go in circles end too."""

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.relay.config import RelayConfig
from kecs.relay.decide import Address, Look, Pass, Refuse, Serve, Upstream, Wire

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


@pytest.fixture
def backend() -> Iterator[Address]:
    with server(ok) as address:
        yield address


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def raising(*_: object) -> Any:
    raise KeyError("a fault")


@contextlib.contextmanager
def reported(lab: Lab) -> Iterator[None]:
    """Expect that the loop is told of faults, and that others are served nevertheless."""
    found: list[object] = []
    lab.loop.set_exception_handler(lambda _, context: found.append(context["exception"]))
    other = lab.connect()
    other.sendall(REQUEST)
    assert read_exactly(other, len(OK)) == OK
    lab.script.wait(lambda seen: len(seen.exchanges) == 1)
    yield
    until(lambda: lab.relay.counters["internal_errors"])
    assert {type(fault) for fault in found} == {KeyError}
    for name in ("look", "connection", "body_wanted", "request", "response", "failed", "invalid", "record", "closed"):
        lab.script.__dict__.pop(name, None)
    other.sendall(REQUEST)
    assert read_exactly(other, len(OK)) == OK
    other.close()
    until(lambda: not lab.relay.open)


@pytest.mark.parametrize("method", ["look", "connection", "body_wanted", "request"])
def test_a_fault_before_a_request_is_sent_resets_the_client(backend: Address, method: str) -> None:
    with Lab(script(backend)) as lab, reported(lab):
        setattr(lab.script, method, raising)
        with contextlib.suppress(ConnectionError), lab.connect() as sock:
            sock.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"))
            assert read_all(sock) == b""


def test_a_fault_about_a_response_is_an_answer_of_ours(backend: Address) -> None:
    with Lab(script(backend)) as lab, reported(lab):
        lab.script.response = raising  # type: ignore[method-assign, assignment] # the decider's fault
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            assert sock.recv(100).startswith(b"HTTP/1.1 503 ")


def test_a_fault_about_a_failure_resets_the_client(backend: Address) -> None:
    with Lab(script(backend)) as lab, reported(lab):
        working, lab.script.upstream = lab.script.upstream, Upstream(host="127.0.0.1", port=1)
        lab.script.failed = raising  # type: ignore[method-assign, assignment] # the decider's fault
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            assert read_all(sock) == b""
        lab.script.upstream = working


def test_a_fault_at_a_deadline_resets_the_client(backend: Address) -> None:
    config = RelayConfig(peek_timeout_s=0.2, head_timeout_s=0.3)
    with Lab(script(backend), config) as lab, reported(lab):
        lab.script.invalid = raising  # type: ignore[method-assign, assignment] # the decider's fault
        with lab.connect() as sock:
            sock.sendall(REQUEST[:40])
            assert read_all(sock) == b""


def test_a_fault_about_a_record_still_ends_the_session(backend: Address) -> None:
    with Lab(script(backend)) as lab, reported(lab):
        lab.script.record = raising  # type: ignore[method-assign, assignment] # the decider's fault
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            assert read_all(sock) in {OK, b""}


def test_a_fault_about_the_end_of_a_pass_leaves_nothing(backend: Address) -> None:
    with Lab(script(backend)) as lab, reported(lab):
        lab.destination = backend
        lab.script.closed = raising  # type: ignore[method-assign, assignment] # the decider's fault
        with lab.connect() as sock:
            sock.sendall(b"\0" + REQUEST[1:])
            assert sock.recv(100) == OK


def test_connect_inside_connect_is_refused(backend: Address) -> None:
    """Two thousand of them in one segment would be as many calls deep."""
    with Lab(script(backend)) as lab, lab.connect() as sock:
        sock.sendall(b"CONNECT a.amazonaws.com:443 HTTP/1.1\r\n\r\n" * 1500)
        read_all(sock)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["proxied_twice"])


def test_a_client_hello_right_behind_connect_is_served(backend: Address) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with Lab(script(backend)) as lab, lab.connect() as sock:
        tls = lab.authority.client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\n\r\n%b" % (NAME.encode(), outgoing.read()))
        held = bytearray()
        assert read_head(sock, held).startswith(b"HTTP/1.1 200 ")
        incoming.write(bytes(held))
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
        tls.write(REQUEST)
        sock.sendall(outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                incoming.write(sock.recv(65536))
                assert tls.read(1000) == OK
                break


@pytest.mark.parametrize("look", [Look.PEEK, Look.DIAL])
def test_a_slow_client_hello_is_waited_for(backend: Address, look: Look) -> None:
    """Passing it on for being slow would let a call out to where it must never go."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    told = script(backend)
    told.looks = look
    with Lab(told, destination=backend) as lab, lab.connect() as sock:
        tls = lab.authority.client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        sock.sendall(hello[:50])
        threading.Event().wait(0.5)
        sock.sendall(hello[50:])
        incoming.write(sock.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        until(lambda: lab.authority.minted)


def calls_late(lab: Lab, wait: Callable[[], object]) -> None:
    with lab.connect() as sock:
        wait()
        with lab.authority.client_context().wrap_socket(sock, server_hostname=NAME) as tls:
            tls.sendall(REQUEST)
            assert tls.recv(100) == OK


def test_a_slow_client_calls_though_its_destination_was_dialled_meanwhile(backend: Address) -> None:
    """A busy program connects and then reads its roots: what it says at last is a call, which must not get out."""
    came, heard = threading.Event(), []

    def silent(sock: socket.socket) -> None:
        came.set()
        heard.append(read_all(sock))

    config = RelayConfig(peek_timeout_s=0.1)
    with server(silent) as destination, Lab(script(backend), config, destination=destination) as lab:
        calls_late(lab, lambda: came.wait(PATIENCE_S))
        until(lambda: heard)
    assert heard == [b""]


def test_a_slow_client_is_waited_for_where_nobody_else_can_speak(backend: Address) -> None:
    told = script(backend)
    told.looks = Look.WAIT
    told.verdicts = {Wire.SILENT: Refuse(reason="other")}
    with Lab(told, RelayConfig(peek_timeout_s=0.1), destination=Address("127.0.0.1", 443)) as lab:
        calls_late(lab, lambda: threading.Event().wait(0.5))


@pytest.mark.parametrize(("port", "reason"), [(443, "tls_handshake_timeout"), (80, "head_timeout"), (3306, "other")])
def test_a_client_that_never_begins_is_not_waited_for_forever(backend: Address, port: int, reason: str) -> None:
    told = script(backend)
    told.looks = Look.WAIT
    told.verdicts = {Wire.SILENT: Refuse(reason="other")}
    config = RelayConfig(peek_timeout_s=0.1, handshake_timeout_s=0.2, head_timeout_s=0.2)
    with Lab(told, config, destination=Address("127.0.0.1", port)) as lab:
        with lab.connect() as sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
        told.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == [reason])


def test_half_a_word_on_a_dialled_connection_is_passed_in_time(backend: Address) -> None:
    told = script(backend)
    told.looks = Look.DIAL
    with Lab(told, RelayConfig(peek_timeout_s=0.1)) as lab:
        lab.destination = backend
        with lab.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nX")
            until(lambda: lab.relay.counters["passed"])
            sock.sendall(b": y\r\n\r\n")
            assert sock.recv(100) == OK


def test_a_dialled_connection_where_nobody_speaks_becomes_a_pass() -> None:
    told = Script(upstream=Upstream(host="127.0.0.1", port=1), looks=Look.DIAL, verdicts={Wire.SILENT: Pass()})
    config = RelayConfig(peek_timeout_s=0.1, tunnel_idle_timeout_s=0.3, body_timeout_s=0.5)

    def silent(sock: socket.socket) -> None:
        read_all(sock)

    with server(silent) as destination, Lab(told, config) as lab:
        lab.destination = destination
        with lab.connect() as sock:
            assert read_all(sock) == b""
        told.wait(lambda seen: len(seen.ends) == 1)


def test_a_client_that_ends_without_a_word_is_passed_where_the_server_is_dialled() -> None:
    ended = threading.Event()

    def wait_for_end(sock: socket.socket) -> None:
        assert read_all(sock) == b""
        ended.set()

    told = Script(upstream=Upstream(host="127.0.0.1", port=1), looks=Look.DIAL)
    with server(wait_for_end) as destination, Lab(told) as lab:
        lab.destination = destination
        with lab.connect() as sock:
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        assert ended.wait(PATIENCE_S)


def test_a_client_hears_why_its_handshake_failed(backend: Address) -> None:
    with Lab(script(backend)) as lab, lab.connect() as sock:
        context = lab.authority.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-GCM-SHA256")  # wants a key that our leaves do not have
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            context.wrap_socket(sock, server_hostname=NAME)
        lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["tls_no_shared_cipher"])


def test_plain_bytes_after_a_client_hello_fail_the_handshake_only(backend: Address) -> None:
    told = script(backend)
    with Lab(told) as lab, lab.connect() as sock:
        tls = lab.authority.client_context().wrap_bio(ssl.MemoryBIO(), out := ssl.MemoryBIO(), server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(out.read() + b"no TLS" * 10)
        read_all(sock)
        told.wait(lambda seen: [reason.startswith("tls_") for _, reason, _, _ in seen.ends] == [True])


def test_an_accept_that_fails_is_tried_again(backend: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """accept(2): errors of the network on the new connection may be returned."""
    real = socket.socket._accept  # type: ignore[attr-defined]
    failing = iter([True])

    def accept(sock: socket.socket) -> Any:
        if next(failing, False):
            raise OSError(errno.EPROTO, "Protocol error")
        return real(sock)

    monkeypatch.setattr(socket.socket, "_accept", accept)
    with Lab(script(backend)) as lab:
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            assert sock.recv(100) == OK
        assert lab.relay.counters["accept_paused"] == 1


def test_a_name_that_is_not_resolved_in_time(backend: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *values: Any, **options: Any) -> Any:
        if host == "backend.example":
            go.wait(PATIENCE_S)
            host = "127.0.0.1"
        return real(host, *values, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    told = Script(upstream=Upstream(host="backend.example", port=backend.port))
    with Lab(told, RelayConfig(peek_timeout_s=0.2, connect_timeout_s=0.2)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert b"upstream_connect_timeout" in sock.recv(1000)
        go.set()
        lab.call(lambda: None)


def test_a_backend_by_name(backend: Address) -> None:
    told = Script(upstream=Upstream(host="localhost", port=backend.port))
    with Lab(told) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert sock.recv(100) == OK


def test_draining_cuts_passes_and_arrivals_at_the_deadline(backend: Address) -> None:
    told = script(backend)
    told.verdicts = {Wire.HTTP: Serve()}
    with (
        Lab(told, RelayConfig(peek_timeout_s=30), destination=backend) as lab,
        lab.connect() as passed,
        lab.connect() as waiting,
    ):
        passed.sendall(b"\0" + REQUEST[1:])
        assert passed.recv(100) == OK
        until(lambda: lab.relay.open == 2)
        asyncio.run_coroutine_threadsafe(lab.relay.drain(0.2), lab.loop).result(PATIENCE_S)
        assert lab.relay.counters["drain_cut"] == 2
        assert (read_all(passed), read_all(waiting)) == (b"", b"")
