"""OpenSSL on a socket, made directly and by the library: the same bytes, the same ends."""

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from relay_lab import NAME, PATIENCE_S, Authority

from kecs.relay.contexts import server_context
from kecs.relay.tls import TlsSocket, serve_tls

type Maker = Callable[[ssl.SSLContext, socket.socket], TlsSocket]

MAKERS = pytest.mark.parametrize(
    "make",
    [pytest.param(TlsSocket.directly, id="directly"), pytest.param(TlsSocket.by_the_library, id="by the library")],
)
AUTHORITY = Authority()
CLIENT = AUTHORITY.client_context()
SERVER = server_context(*AUTHORITY.mint((NAME,))[:2])


def pair() -> tuple[socket.socket, socket.socket]:
    """Return an accepted, non-blocking socket and its client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), PATIENCE_S)
        accepted, _ = listener.accept()
    accepted.settimeout(0)
    return accepted, client


def finish[T](tls: TlsSocket, step: Callable[[], T]) -> T:
    """Repeat a call until OpenSSL has what it wants."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            assert select.select([tls.fileno()], [], [], PATIENCE_S)[0]


@contextlib.contextmanager
def shaken(make: Maker, session: ssl.SSLSession | None = None) -> Iterator[tuple[TlsSocket, ssl.SSLSocket]]:
    """Yield both ends of a connection."""
    accepted, plain = pair()
    tls = make(SERVER, accepted)
    thread = threading.Thread(target=lambda: finish(tls, tls.do_handshake))
    thread.start()
    client = CLIENT.wrap_socket(plain, server_hostname=NAME, session=session)
    thread.join(PATIENCE_S)
    try:
        yield tls, client
    finally:
        client.close()
        tls.plain.close()


def test_this_python_has_what_is_called_directly() -> None:
    assert serve_tls == TlsSocket.directly
    accepted, client = pair()
    with accepted, client:
        tls = serve_tls(SERVER, accepted)
        assert tls.plain is accepted
        assert not isinstance(tls.plain, ssl.SSLSocket)
        assert tls.fileno() == accepted.fileno()


@MAKERS
def test_bytes_go_both_ways(make: Maker) -> None:
    with shaken(make) as (tls, client):
        client.sendall(b"asked for")
        assert finish(tls, lambda: tls.recv(5)) == b"asked"
        assert tls.pending() == 4
        assert tls.recv(100) == b" for"
        assert [tls.send(data) for data in (b"an", bytearray(b" ans"), memoryview(b"wer"))] == [2, 4, 3]
        assert b"".join(client.recv(100) for _ in range(3)) == b"an answer"


@MAKERS
def test_nothing_there_is_no_end(make: Maker) -> None:
    with shaken(make) as (tls, client):
        with pytest.raises(ssl.SSLWantReadError):
            tls.recv(100)
        client.sendall(b"x")
        assert finish(tls, lambda: tls.recv(100)) == b"x"


@MAKERS
def test_a_client_that_comes_back_is_known(make: Maker) -> None:
    with shaken(make) as (tls, client):
        assert not tls.resumed
        tls.send(b"x")
        client.recv(1)  # the ticket comes before it
        session = client.session
    with shaken(make, session) as (tls, client):
        assert tls.resumed
        assert client.session_reused


@MAKERS
@pytest.mark.parametrize("clean", [True, False])
def test_an_end_is_an_end_with_close_notify_or_without(make: Maker, *, clean: bool) -> None:
    with shaken(make) as (tls, client):
        client.settimeout(0)
        if clean:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.unwrap()
        socket.socket.shutdown(client, socket.SHUT_WR)
        assert finish(tls, lambda: tls.recv(100)) == b""


@MAKERS
def test_unwrapping_says_close_notify(make: Maker) -> None:
    with shaken(make) as (tls, client):
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        assert client.recv(100) == b""
        client.unwrap()  # raises when the other end has not said it


def test_a_reset_is_told() -> None:
    with shaken(TlsSocket.directly) as (tls, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        # early releases of Python 3.12 take a reset for an end without close_notify; their own socket hides that, too
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            finish(tls, lambda: tls.recv(100))


@MAKERS
def test_what_was_said_in_the_clear_is_never_read_as_decrypted(make: Maker) -> None:
    """CVE-2023-40217: a client that says something and goes before it is shaken hands with."""
    accepted, client = pair()
    client.sendall(b"DELETE / HTTP/1.1\r\n\r\n")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    poll = select.poll()
    poll.register(accepted, select.POLLHUP)
    assert poll.poll(PATIENCE_S * 1000)
    with accepted:
        try:
            tls = make(SERVER, accepted)
        except OSError:  # the library looks whether it is connected
            return
        with tls.plain:
            for step in (tls.do_handshake, lambda: tls.recv(100), lambda: tls.recv(100)):
                with pytest.raises(OSError, match=r".") as raised:
                    step()
                assert not isinstance(raised.value, ssl.SSLWantReadError)
