"""Limits, deadlines, and a quiet end."""

import asyncio
import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_head, server, until

from kecs.relay.contexts import covering
from kecs.relay.decide import Address, Handover, Look, Refuse, Upstream, Wire
from kecs.relay.relay import RelayConfig

REQUEST = b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


@pytest.fixture
def backend() -> Iterator[Address]:
    with server(ok) as address:
        yield address


def connect_and_listen(address: Address) -> bytes:
    with socket.create_connection(address, PATIENCE_S) as sock:
        return sock.recv(10)


def test_connections_over_the_limit_are_reset_and_others_live(backend: Address) -> None:
    with Lab(script(backend), RelayConfig(connections_max=2, peek_timeout_s=5)) as lab:
        kept = [lab.connect() for _ in range(2)]
        for sock in kept:
            sock.sendall(REQUEST)
            assert sock.recv(100) == OK
        with pytest.raises(ConnectionResetError):
            connect_and_listen(lab.address)
        kept[0].sendall(REQUEST)
        assert kept[0].recv(100) == OK
        for sock in kept:
            sock.close()


def test_running_out_of_descriptors_is_survived(backend: Address) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Lab(script(backend)) as lab:
        waiting = socket.socket()
        held: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/proc/self/fd").iterdir()]) + 8, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            waiting.settimeout(PATIENCE_S)
            waiting.connect(lab.address)  # the kernel accepts it; the relay can't
            waiting.sendall(REQUEST)
            until(lambda: lab.relay.counters["accept_paused"])
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert waiting.recv(100) == OK
        waiting.close()
        assert lab.relay.counters["accept_paused"] > 0


def test_draining_lets_a_request_finish_and_closes_what_is_idle() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        begun.set()
        assert go.wait(PATIENCE_S)
        sock.sendall(OK)

    with server(slow) as address, Lab(script(address)) as lab, lab.connect() as busy:
        busy.sendall(REQUEST)
        assert begun.wait(PATIENCE_S)
        drained = asyncio.run_coroutine_threadsafe(lab.relay.drain(PATIENCE_S), lab.loop)
        lab.call(lambda: None)  # the drain has begun: what is scheduled later runs later
        go.set()
        answer = read_all(busy)
        assert answer.endswith(b"ok")
        assert b"Connection: close" in answer
        drained.result(PATIENCE_S)
        assert lab.relay.counters["drain_cut"] == 0


def test_draining_serves_who_has_just_come(backend: Address) -> None:
    """A connection that was accepted and has not asked yet is not reset under its first request."""
    with Lab(script(backend)) as lab, lab.connect_tls() as fresh:
        until(lambda: lab.relay._sessions)
        drained = asyncio.run_coroutine_threadsafe(lab.relay.drain(PATIENCE_S), lab.loop)
        lab.call(lambda: None)
        fresh.sendall(REQUEST)
        assert read_all(fresh).endswith(b"ok")
        assert drained.result(PATIENCE_S).cut == 0


def test_draining_closes_idle_connections_at_once(backend: Address) -> None:
    with Lab(script(backend)) as lab, lab.connect() as idle:
        idle.sendall(REQUEST)
        assert idle.recv(100) == OK
        asyncio.run_coroutine_threadsafe(lab.relay.drain(PATIENCE_S), lab.loop).result(PATIENCE_S)
        assert idle.recv(100) == b""


def test_draining_ends_at_its_deadline(backend: Address) -> None:
    with Lab(script(backend)) as lab, lab.connect() as half:
        half.sendall(REQUEST[:20])
        half.sendall(b"\r\nHost: s3.amazonaws.com\r\nX")
        lab.call(lambda: None)
        asyncio.run_coroutine_threadsafe(lab.relay.drain(0.3), lab.loop).result(PATIENCE_S)
        assert lab.relay.open == 0


def test_an_idle_connection_is_closed_in_time(backend: Address) -> None:
    config = RelayConfig(peek_timeout_s=0.2, idle_timeout_s=0.2, head_timeout_s=0.4)
    with Lab(script(backend), config) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert read_all(sock) == OK


def test_a_client_that_leaves_takes_its_upstream_with_it() -> None:
    ended = threading.Event()

    def wait_for_end(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        read_all(sock)
        ended.set()

    with server(wait_for_end) as address, Lab(script(address)) as lab:
        with lab.connect() as sock:
            sock.sendall(REQUEST)
            until(lambda: lab.script.shown)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        assert ended.wait(PATIENCE_S)
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["client_reset"])


def test_a_refusal_is_a_reset_with_its_reason(backend: Address) -> None:
    told = script(backend)
    told.verdicts = {Wire.TLS: Refuse(reason="wants_client_certificate")}
    with Lab(told) as lab:
        with pytest.raises(OSError, match=r"reset|EOF"):
            lab.connect_tls()
        told.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["wants_client_certificate"])


def test_a_handover_gets_every_byte_from_the_first(backend: Address) -> None:
    del backend
    seen = bytearray()

    def engine(sock: socket.socket) -> None:
        seen.extend(sock.recv(65536))
        sock.sendall(b"engine here")

    with server(engine) as address:
        told = Script(upstream=Upstream(host="127.0.0.1", port=1), verdicts={Wire.HTTP: Handover(address=address)})
        with Lab(told) as lab, lab.connect() as sock:
            sock.sendall(REQUEST)
            assert read_all(sock) == b"engine here"
    assert bytes(seen) == REQUEST


def test_a_silent_client_of_a_silent_server_keeps_its_connection(backend: Address) -> None:
    """After the peek time the connection is dialled, so a server that speaks first can speak."""

    def greet(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        read_all(sock)

    with server(greet) as destination, Lab(script(backend), RelayConfig(peek_timeout_s=0.1)) as lab:
        lab.destination = destination
        with lab.connect() as sock:
            assert sock.recv(100) == b"220 ready\r\n"


def test_dialling_first_passes_ipv6(backend: Address) -> None:
    told = script(backend)
    told.looks = Look.DIAL
    with server(ok, socket.AF_INET6) as destination, Lab(told) as lab:
        lab.destination = destination
        with lab.connect() as sock:
            sock.sendall(b"\0" + REQUEST[1:])
            assert sock.recv(100) == OK


@pytest.mark.parametrize(
    ("name", "names"),
    [
        pytest.param(
            "sqs.eu-west-1.amazonaws.com", ("*.eu-west-1.amazonaws.com", "eu-west-1.amazonaws.com"), id="service"
        ),
        pytest.param("sts.amazonaws.com", ("*.amazonaws.com", "amazonaws.com"), id="global"),
        pytest.param("a.b.s3.amazonaws.com", ("*.b.s3.amazonaws.com", "b.s3.amazonaws.com"), id="dotted bucket"),
        pytest.param("amazonaws.com", ("amazonaws.com",), id="the suffix itself"),
    ],
)
def test_one_certificate_per_parent_domain(name: str, names: tuple[str, ...]) -> None:
    assert covering(name) == names


def test_buckets_share_a_context_and_dotted_ones_get_their_own(backend: Address) -> None:
    with Lab(script(backend)) as lab:
        for name in ("one.s3.eu-west-1.amazonaws.com", "two.s3.eu-west-1.amazonaws.com", "a.b.s3.amazonaws.com", NAME):
            lab.connect_tls(name).close()
        assert len(lab.authority.minted) == 3
