"""How requests and connections end: whole where they can be, broken off where they can't, never mixed up."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_all, read_exactly, read_head, server, until

from kecs.aws.head import Answer
from kecs.relay.config import RelayConfig
from kecs.relay.decide import Address, Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
REQUEST = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BULK = bytes(200_000)
"""More than the kernel takes of a slow listener, less than what makes the relay stop its upstream."""


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def saying(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Answer each head with the pieces, and stay."""

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            for piece in pieces:
                sock.sendall(piece)

    return handle


@contextlib.contextmanager
def slow(lab: Lab) -> Iterator[socket.socket]:
    """Connect where the kernel takes little: what the client does not read stays in the relay."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    address = listener.getsockname()
    lab.call(lambda: lab.relay.listen(listener, original_destination=lambda _: lab.destination))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(address)
        yield client


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def test_pipelined_requests_before_a_half_close_are_all_answered() -> None:
    with server(saying(OK)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST * 3)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == OK * 3


def test_half_a_request_before_a_half_close_is_not_answered() -> None:
    with server(saying(OK)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST + REQUEST[:20])
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == OK


def test_a_body_that_goes_wrong_after_its_answer_began_gets_no_second_answer() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with server(saying(begun)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert read_exactly(sock, len(begun)) == begun
        sock.sendall(b"not a chunk\r\n")
        assert read_all(sock) == b""
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["invalid_request_400"])


def test_a_body_that_goes_wrong_after_a_whole_answer_gets_no_second_answer() -> None:
    with server(saying(OK)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert read_exactly(sock, len(OK)) == OK
        lab.script.wait(lambda seen: len(seen.exchanges) == 1)
        sock.sendall(b"not a chunk\r\n")
        assert read_all(sock) == b""


def test_a_body_that_stops_after_its_answer_began_gets_no_second_answer() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    config = RelayConfig(peek_timeout_s=0.2, body_timeout_s=0.3)
    with server(saying(begun)) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc")
        assert read_all(sock) == begun


def test_a_backend_that_reads_no_more_is_at_fault_not_the_client() -> None:
    over = threading.Event()

    def deaf(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        read_head(sock, bytearray())
        over.wait(PATIENCE_S)

    def keen(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(bytes(50_000_000))

    config = RelayConfig(peek_timeout_s=0.2, response_timeout_s=0.8)
    with server(deaf) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 50000000\r\n\r\n")
        sending = threading.Thread(target=keen, args=(sock,))
        sending.start()
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["upstream_timeout"])
        over.set()
        sock.shutdown(socket.SHUT_RDWR)
        sending.join()


def test_a_client_that_does_not_read_is_at_fault_not_the_backend() -> None:
    def endless(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(BULK)

    config = RelayConfig(peek_timeout_s=0.2, response_timeout_s=0.3, body_timeout_s=0.2)
    with server(endless) as address, Lab(script(address), config) as lab, slow(lab) as sock:
        sock.sendall(REQUEST)
        lab.script.wait(lambda seen: [one.reason for one in seen.exchanges] == ["client_timeout"])


def test_an_answer_before_the_body_is_sent_whole_to_a_slow_reader() -> None:
    said = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(BULK)
    config = RelayConfig(peek_timeout_s=0.2, linger_s=0.2)
    with server(saying(said + BULK)) as address, Lab(script(address), config) as lab, slow(lab) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        lab.script.wait(lambda seen: len(seen.exchanges) == 1)
        pause(0.8)
        assert len(read_all(sock)) > len(BULK)


@pytest.mark.parametrize("asks", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_draining_waits_until_answers_are_sent(asks: bytes) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BULK)
    with server(saying(said + BULK)) as address, Lab(script(address)) as lab, slow(lab) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + asks + b"\r\n")
        lab.script.wait(lambda seen: len(seen.exchanges) == 1)
        drained = asyncio.run_coroutine_threadsafe(lab.relay.drain(PATIENCE_S), lab.loop)
        pause(0.1)
        assert not drained.done()
        assert len(read_all(sock)) > len(BULK)
        drained.result(PATIENCE_S)
        assert lab.relay.counters["drain_cut"] == 0


def test_a_client_that_never_reads_its_answer_is_reset_in_the_end() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BULK)
    config = RelayConfig(peek_timeout_s=0.2, idle_timeout_s=0.3)
    with server(saying(said + BULK)) as address, Lab(script(address), config) as lab, slow(lab) as sock:
        sock.sendall(REQUEST)
        until(lambda: lab.script.exchanges and not lab.relay.open)
        assert len(read_all(sock)) < len(BULK)


def test_a_slow_client_that_sends_no_more_gets_all() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BULK)
    with server(saying(said + BULK)) as address, Lab(script(address)) as lab, slow(lab) as sock:
        sock.sendall(REQUEST)
        lab.script.wait(lambda seen: len(seen.exchanges) == 1)
        sock.shutdown(socket.SHUT_WR)
        assert len(read_all(sock)) > len(BULK)
        until(lambda: not lab.relay.open)


def test_chunks_for_a_client_that_knows_none_are_an_answer_of_ours() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with server(saying(said)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 503 ")


def test_an_answer_of_ours_to_a_request_that_waits_for_its_body() -> None:
    """No body was asked for, so nobody knows whether what follows is one."""
    with server(saying(OK)) as address:
        told = script(address)
        told.answer = Answer(status=403, body=b"no")
        with Lab(told) as lab, lab.connect() as sock:
            sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            assert read_all(sock) == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


@pytest.mark.parametrize(
    ("method", "answer", "got"),
    [
        pytest.param(b"GET", Answer(status=204, body=b"x"), b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(
            b"HEAD", Answer(status=200, body=b"x"), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", id="HEAD"
        ),
    ],
)
def test_answers_without_a_body(method: bytes, answer: Answer, got: bytes) -> None:
    told = Script(upstream=Upstream(host="127.0.0.1", port=1), answer=answer)
    with Lab(told) as lab, lab.connect() as sock:
        for _ in range(2):
            sock.sendall(REQUEST.replace(b"GET", method))
            assert read_exactly(sock, len(got)) == got


def test_chunk_extensions_do_not_pile_up_before_a_decision() -> None:
    with server(saying(OK)) as address:
        told = script(address)
        told.wants = 1000
        with Lab(told) as lab, lab.connect() as sock:
            sock.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
            sock.sendall((b"1;" + b"x" * 4000 + b"\r\na\r\n") * 100)
            lab.script.wait(lambda seen: len(seen.exchanges) == 1)
        assert 0 < len(told.shown[0]) < 50


def test_an_early_answer_over_tls_reaches_a_client_that_is_still_sending() -> None:
    with server(saying(OK)) as address, Lab(script(address), RelayConfig(discard_bytes_max=1_000_000)) as lab:
        tls = lab.connect_tls()
        tls.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 3000000\r\n\r\n")
        tls.sendall(bytes(3_000_000))
        assert read_exactly(tls, len(OK)) == OK
        tls.close()


UPGRADE = b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def test_the_end_of_a_client_before_the_switch_reaches_the_backend() -> None:
    go, seen = threading.Event(), threading.Event()

    def switch(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        assert go.wait(PATIENCE_S)
        sock.sendall(SWITCHED)
        assert read_all(sock) == b""
        seen.set()
        sock.sendall(b"bye")

    with server(switch) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(UPGRADE)
        sock.shutdown(socket.SHUT_WR)
        until(lambda: lab.script.shown)
        pause(0.1)
        go.set()
        assert read_all(sock) == SWITCHED + b"bye"
        assert seen.is_set()
        until(lambda: not lab.relay.open)


def test_a_switched_connection_where_nothing_moves_ends() -> None:
    config = RelayConfig(peek_timeout_s=0.2, tunnel_idle_timeout_s=0.3, body_timeout_s=1)
    with server(saying(SWITCHED)) as address, Lab(script(address), config) as lab, lab.connect() as sock:
        sock.sendall(UPGRADE)
        assert read_all(sock) == SWITCHED


def test_a_backend_that_ends_first_still_hears_a_client_on_tls() -> None:
    heard: list[bytes] = []

    def half(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(SWITCHED + b"that is all")
        sock.shutdown(socket.SHUT_WR)
        heard.append(read_all(sock))

    with server(half) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls()
        tls.sendall(UPGRADE)
        assert read_all(tls) == SWITCHED + b"that is all"
        for _ in range(3):
            tls.sendall(bytes(100_000))
        tls.unwrap()
        until(lambda: heard)
        assert len(heard[0]) == 300_000
        tls.close()


def test_a_backend_that_ends_while_the_client_speaks_loses_nothing_on_tls() -> None:
    """OpenSSL takes data that it meets while sending close_notify for an error, and drops it."""
    heard: list[int] = []

    def half(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(SWITCHED)
        read_exactly(sock, 100_000)
        sock.shutdown(socket.SHUT_WR)
        heard.append(len(read_all(sock)))

    with server(half) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls()
        tls.sendall(UPGRADE)
        assert read_exactly(tls, len(SWITCHED)) == SWITCHED
        for _ in range(300):
            tls.sendall(bytes(10_000))
        tls.unwrap()
        until(lambda: heard)
        assert heard == [2_900_000]
        tls.close()


def test_a_refused_upgrade_is_an_ordinary_answer() -> None:
    with server(saying(OK)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        for _ in range(2):
            sock.sendall(UPGRADE)
            assert read_exactly(sock, len(OK)) == OK


def test_a_switch_before_the_body_is_whole_carries_the_rest() -> None:
    def switch(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        sock.sendall(SWITCHED)
        sock.sendall(read_exactly(sock, 10, held))

    with server(switch) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(UPGRADE.replace(HOST, HOST + b"Content-Length: 6\r\n") + b"abc")
        assert read_exactly(sock, len(SWITCHED)) == SWITCHED
        sock.sendall(b"defmore")
        assert read_all(sock) == b"abcdefmore"


def test_a_switch_that_nobody_asked_for_is_refused() -> None:
    with server(saying(SWITCHED)) as address, Lab(script(address)) as lab, lab.connect() as sock:
        sock.sendall(REQUEST)
        assert sock.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_a_client_without_a_clean_end_of_tls_is_no_fault() -> None:
    with server(saying(OK)) as address, Lab(script(address)) as lab:
        tls = lab.connect_tls(NAME)
        tls.sendall(REQUEST)
        assert read_exactly(tls, len(OK)) == OK
        socket.socket(fileno=tls.detach()).close()
        until(lambda: not lab.relay.open)
        assert isinstance(tls, ssl.SSLSocket)
