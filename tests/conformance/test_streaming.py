"""Long bodies, long waits and both at once: nothing is held back, nothing is mixed up, whichever way it goes."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

import pytest
from conformance.client_h2 import Client
from conformance.ends import PATIENCE_S, Backend, End
from conformance.lab import Lab
from conformance.playbook import OK, Way, get, request, response
from conformance.playbook_h2 import pseudo
from relay_lab import read_head, server

_BYTES: Final = 24 << 20
_PART: Final = bytes(range(256)) * 256
_DIGEST: Final = hashlib.sha256(_PART * (_BYTES // len(_PART))).hexdigest()
_H1: Final = [Way.PLAIN, Way.TLS, Way.LOOKED_AT, Way.ENGINE]
_LENGTH: Final = b"Content-Length: %d" % _BYTES


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(engine=True) as running:
        yield running


@pytest.fixture
def backend() -> Iterator[Backend]:
    with closing(Backend()) as one:
        yield one


def read(end: End, wanted: bytes) -> bytes:
    """Read until this has come, and return what came after it."""
    seen = b""
    while len(seen) < len(wanted):
        heard = end.hear()
        assert heard, seen
        seen += heard
    assert seen.startswith(wanted), seen[:2000]
    return seen[len(wanted) :]


def digest(hear: Callable[[], bytes], first: bytes) -> str:
    """Read as much as there is to be and return what it comes to."""
    found, count, data = hashlib.sha256(), 0, first
    while True:
        found.update(data)
        count += len(data)
        if count >= _BYTES:
            assert count == _BYTES
            return found.hexdigest()
        data = hear()
        assert data, f"it ended after {count} bytes"


def pour(end: End) -> None:
    for _ in range(_BYTES // len(_PART)):
        end.say(_PART)


def at_the_backend[T](act: Callable[[], T]) -> Callable[[], T]:
    """Begin on a thread; the caller waits for the result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(act)
    pool.shutdown(wait=False)
    return lambda: future.result(4 * PATIENCE_S)


@pytest.mark.parametrize("way", _H1)
def test_a_long_body_to_the_backend(lab: Lab, backend: Backend, way: Way) -> None:
    lab.towards(backend.port, way)
    asked = request(b"PUT /k", _LENGTH)

    def take() -> str:
        end = backend.accept()
        found = digest(end.hear, read(end, asked))
        end.say(OK)
        return found

    taken = at_the_backend(take)
    with closing(lab.connect(way)) as client:
        client.say(asked)
        pour(client)
        assert taken() == _DIGEST
        assert read(client, OK) == b""


@pytest.mark.parametrize("way", _H1)
def test_a_long_body_to_the_client(lab: Lab, backend: Backend, way: Way) -> None:
    lab.towards(backend.port, way)
    answer = response(b"200 OK", _LENGTH)

    def give() -> None:
        end = backend.accept()
        read(end, get(b"/k"))
        end.say(answer)
        pour(end)

    given = at_the_backend(give)
    with closing(lab.connect(way)) as client:
        client.say(get(b"/k"))
        assert digest(client.hear, read(client, answer)) == _DIGEST
        given()


@pytest.mark.parametrize("way", [Way.PLAIN, Way.TLS, Way.ENGINE])
def test_long_bodies_in_both_directions_at_once(lab: Lab, backend: Backend, way: Way) -> None:
    """Neither waits for the other: a backend that answers while it reads is not made to stop."""
    lab.towards(backend.port, way)
    asked, answer = request(b"PUT /k", _LENGTH), response(b"200 OK", _LENGTH)

    def echo() -> None:
        end = backend.accept()
        data = read(end, asked)
        end.say(answer)
        count = 0
        while True:
            end.say(data)
            count += len(data)
            if count >= _BYTES:
                return
            data = end.hear()
            assert data

    echoed = at_the_backend(echo)
    with closing(lab.connect(way)) as client:
        client.say(asked)
        sent = at_the_backend(lambda: pour(client)) if way is Way.PLAIN else None
        if sent is not None:
            assert digest(client.hear, read(client, answer)) == _DIGEST
            sent()
        else:
            assert in_turns(client, answer) == _DIGEST
        echoed()


def in_turns(client: End, answer: bytes) -> str:
    """Send a part, then get it back: one TLS connection is not for two threads."""
    found = hashlib.sha256()
    rest = b""
    for number in range(_BYTES // len(_PART)):
        client.say(_PART)
        if number == 0:
            rest = read(client, answer)
        while len(rest) < len(_PART):
            heard = client.hear()
            assert heard
            rest += heard
        found.update(rest[: len(_PART)])
        rest = rest[len(_PART) :]
    return found.hexdigest()


def test_a_long_body_each_way_with_http_2(lab: Lab, backend: Backend) -> None:
    lab.towards(backend.port, Way.ENGINE)
    asked, answer = request(b"PUT /k", b"content-length: %d" % _BYTES), response(b"200 OK", _LENGTH)

    def take_and_give() -> str:
        end = backend.accept()
        found = digest(end.hear, read(end, asked))
        end.say(answer)
        pour(end)
        return found

    taken = at_the_backend(take_and_give)
    with closing(lab.connect(Way.ENGINE_H2)) as end:
        client = Client(end)
        client.ask(1, (*pseudo(b"PUT", b"/k"), (b"content-length", b"%d" % _BYTES)), end=False)
        for number in range(_BYTES // len(_PART)):
            client.send(1, _PART, end=(number + 1) * len(_PART) == _BYTES)
        stream = client.streams[client.id_of(1)]
        while not stream.ended:
            assert client.hear(), stream
        assert taken() == _DIGEST
        assert stream.status == 200
        assert hashlib.sha256(stream.body).hexdigest() == _DIGEST


@pytest.mark.parametrize("way", [Way.PLAIN, Way.TLS, Way.ENGINE])
def test_a_long_poll_does_not_hold_up_others(lab: Lab, backend: Backend, way: Way) -> None:
    """Twenty wait for their answer, on as many connections; fifty requests of another go by; then all are answered."""
    lab.towards(backend.port, way)
    polls: list[tuple[End, End, bytes]] = []
    for number in range(20):
        client, asked = lab.connect(way), get(b"/poll/%d" % number)
        client.say(asked)
        polls.append((client, (end := backend.accept()), asked))
        assert read(end, asked) == b""
    with closing(lab.connect(way)) as other:
        other.say(get(b"/0"))
        busy = backend.accept()
        for number in range(50):
            if number:
                other.say(get(b"/%d" % number))
            assert read(busy, get(b"/%d" % number)) == b""
            busy.say(OK)
            assert read(other, OK) == b""
    for client, end, asked in reversed(polls):
        said = response(b"200 OK", b"Content-Length: %d" % len(asked), body=asked)
        end.say(said)
        assert read(client, said) == b""
        client.close()


def naming(sock: socket.socket) -> None:
    """Answer with the path that was asked for."""
    held = bytearray()
    while head := read_head(sock, held):
        path = head.split(b" ")[1]
        sock.sendall(response(b"200 OK", b"Content-Length: %d" % len(path), body=path))


@pytest.mark.parametrize("way", [Way.PLAIN, Way.TLS, Way.ENGINE])
def test_many_clients_get_their_own_answers(lab: Lab, way: Way) -> None:
    """Backends' connections change hands all the time; an answer never does."""

    def ask(name: int) -> int:
        with closing(lab.connect(way)) as client:
            for number in range(30):
                path = b"/%d/%d" % (name, number)
                client.say(get(path))
                assert read(client, response(b"200 OK", b"Content-Length: %d" % len(path), body=path)) == b""
        return name

    with server(naming) as address, ThreadPoolExecutor(8) as pool:
        lab.towards(address.port, way)
        assert list(pool.map(ask, range(16))) == list(range(16))
