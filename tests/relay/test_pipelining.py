"""Requests that do not wait for answers: all are answered, in order, and in bounded memory."""

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest
from relay_lab import PATIENCE_S, Lab, Script, read_all, read_head, server, until

from kecs.aws.head import Answer
from kecs.relay.decide import Address, Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
REQUEST = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
MIB = 1 << 20


def script(address: Address) -> Script:
    return Script(upstream=Upstream(host=address.host, port=address.port))


def answering(size: int) -> Callable[[socket.socket], None]:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"y" * size)

    def handle(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            sock.sendall(said)

    return handle


def settled(told: Script) -> bool:
    """Whether nothing was answered for a while."""
    before = len(told.exchanges)
    threading.Event().wait(0.3)
    return len(told.exchanges) == before


@pytest.mark.parametrize("local", [False, True], ids=["a backend answers", "the decider answers"])
def test_a_client_that_reads_nothing_stops_being_served(local: bool) -> None:  # noqa: FBT001 - a table's column
    """20,000 requests of 40 bytes ask for a gigabyte: only what the client takes may be fetched ahead of it."""
    with server(answering(60_000)) as address:
        told = script(address)
        told.answer = Answer(status=200, body=b"y" * 60_000) if local else None
        with Lab(told) as lab, lab.connect() as sock:
            sock.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                for _ in range(400):
                    sock.sendall(REQUEST * 50)
            until(lambda: settled(told))
            answered = len(told.exchanges)
            assert answered * 60_000 < 32 * MIB  # socket buffers hold some of it, on both sides
            sock.settimeout(PATIENCE_S)
            got = 0
            while got < (answered + 100) * 60_000:  # it is served again as soon as it reads
                got += len(sock.recv(MIB))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_the_last_answer_is_whole_although_more_is_being_sent(tls: bool) -> None:  # noqa: FBT001 - a table's column
    """Closing at once would make the kernel reset what the client has not read yet; so all is read and dropped."""
    with server(answering(10)) as address, Lab(script(address)) as lab:
        for _ in range(5):
            with lab.connect_tls() if tls else lab.connect() as sock:
                broken: list[OSError] = []
                sending = threading.Thread(
                    target=send, args=(sock, REQUEST.replace(b"GET", b"GOT") + b"x" * MIB, broken)
                )
                sending.start()
                sending.join()
                assert read_all(sock).startswith(b"HTTP/1.1 400 ")
                assert broken == []


def send(sock: socket.socket, data: bytes, broken: list[OSError]) -> None:
    try:
        sock.sendall(data)
    except OSError as error:
        broken.append(error)
