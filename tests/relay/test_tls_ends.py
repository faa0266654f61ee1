"""The ends of TLS: each direction for itself, nothing lost around close_notify, and nothing whole without it."""

import contextlib
import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from relay_lab import NAME, PATIENCE_S, Authority, Lab, Script, read_all, read_exactly, read_head, server

from kecs.relay.contexts import server_context
from kecs.relay.decide import Upstream
from kecs.relay.farewell import close_notify

HOST = b"Host: s3.amazonaws.com\r\n"
REQUEST = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@contextlib.contextmanager
def pair(version: ssl.TLSVersion) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Yield a server's and a client's end of one TLS connection over TCP."""
    authority = Authority()
    context = server_context(*authority.mint((NAME,))[:2])
    context.num_tickets = 0  # so that nothing but what a test sends is on the way
    theirs = authority.client_context()
    theirs.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = socket.create_connection(listener.getsockname(), PATIENCE_S)
        accepted, _ = listener.accept()
    accepted.settimeout(PATIENCE_S)
    served: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: served.append(context.wrap_socket(accepted, server_side=True)))
    thread.start()
    client = theirs.wrap_socket(plain, server_hostname=NAME)
    thread.join(PATIENCE_S)
    with served[0], client:
        yield served[0], client


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def end(tls: ssl.SSLSocket) -> None:
    patience_s = tls.gettimeout()
    tls.settimeout(0)  # as the relay's are
    record = close_notify(tls)
    tls.settimeout(patience_s)
    assert record
    socket.socket.sendall(tls, record)


@VERSIONS
def test_what_waits_to_be_read_outlives_our_end(version: ssl.TLSVersion) -> None:
    with pair(version) as (ours, theirs):
        theirs.sendall(bytes(50_000))
        socket.socket.recv(ours, 50_000, socket.MSG_PEEK | socket.MSG_WAITALL)
        end(ours)
        assert theirs.recv(1) == b""
        theirs.sendall(b"and more")
        assert len(read_exactly(ours, 50_008)) == 50_008


@VERSIONS
def test_half_a_record_outlives_our_end(version: ssl.TLSVersion) -> None:
    with pair(version) as (ours, theirs):
        through, caught = socket.socketpair()
        real = os.dup(theirs.fileno())
        os.dup2(through.fileno(), theirs.fileno())  # what the client sends is caught, and cut
        theirs.sendall(b"in two pieces")
        os.dup2(real, theirs.fileno())
        record = caught.recv(1000)
        socket.socket.sendall(theirs, record[:9])
        ours.settimeout(0)
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                ours.recv(100)
            if not _waits(ours):
                break
        end(ours)
        socket.socket.sendall(theirs, record[9:])
        ours.settimeout(PATIENCE_S)
        assert ours.recv(100) == b"in two pieces"
        os.close(real)
        through.close()
        caught.close()


def _waits(sock: ssl.SSLSocket) -> bool:
    try:
        return bool(socket.socket.recv(sock, 1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@VERSIONS
def test_an_end_is_sent_once(version: ssl.TLSVersion) -> None:
    with pair(version) as (ours, theirs):
        ours.settimeout(0)
        end(ours)
        assert close_notify(ours) == b""
        assert theirs.recv(1) == b""


def test_without_descriptors_there_is_no_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> tuple[socket.socket, socket.socket]:
        raise OSError(errno.EMFILE, "Too many open files")

    with pair(ssl.TLSVersion.TLSv1_3) as (ours, _):
        monkeypatch.setattr(socket, "socketpair", none)
        assert close_notify(ours) is None


def half(heard: list[bytes], over: threading.Event) -> Callable[[socket.socket], None]:
    """Switch protocols, end first, and listen."""

    def handle(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(SWITCHED + b"that is all")
        sock.shutdown(socket.SHUT_WR)
        heard.append(read_all(sock))
        over.set()

    return handle


def test_a_backend_that_ends_first_is_heard_and_hears() -> None:
    heard: list[bytes] = []
    over = threading.Event()
    with (
        server(half(heard, over)) as address,
        Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab,
        lab.connect_tls() as tls,
    ):
        tls.sendall(UPGRADE)
        assert read_all(tls) == SWITCHED + b"that is all"
        tls.sendall(b"thank you")
        tls.unwrap()
        assert over.wait(PATIENCE_S)
        assert heard == [b"thank you"]


def test_without_descriptors_the_end_is_an_unclean_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read on, and lose what is read, would be worse: the client is not told that all went well."""

    def none(*_: object) -> tuple[socket.socket, socket.socket]:
        raise OSError(errno.EMFILE, "Too many open files")

    heard: list[bytes] = []
    over = threading.Event()
    with (
        server(half(heard, over)) as address,
        Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab,
    ):
        context = lab.authority.client_context()
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        with context.wrap_socket(lab.connect(), server_hostname=NAME, suppress_ragged_eofs=False) as tls:
            monkeypatch.setattr(socket, "socketpair", none)
            tls.sendall(UPGRADE)
            said = SWITCHED + b"that is all"
            assert read_exactly(tls, len(said)) == said
            with pytest.raises(ssl.SSLEOFError):
                tls.recv(1)
        assert over.wait(PATIENCE_S)


@pytest.mark.parametrize("whole", [True, False], ids=["close_notify", "truncated"])
@pytest.mark.parametrize(
    ("said", "depends"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", True, id="until close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False, id="by length"),
    ],
)
def test_an_answer_until_close_is_whole_only_behind_close_notify(said: bytes, depends: bool, whole: bool) -> None:  # noqa: FBT001 - pytest passes them by name
    labs: list[Lab] = []

    def secure(sock: socket.socket) -> None:
        chain, key, _ = labs[0].authority.mint(("backend.example",))
        tls = server_context(chain, key).wrap_socket(sock, server_side=True)
        read_head(tls, bytearray())
        tls.sendall(said)
        if whole:
            tls.unwrap()
        tls.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            read_all(tls)
        tls.close()

    with server(secure) as address:
        told = Script(upstream=Upstream(host=address.host, port=address.port, tls_name="backend.example"))
        with Lab(told, upstream_tls=lambda: labs[0].authority.client_context()) as lab:  # noqa: PLW0108 - there is none yet
            labs.append(lab)
            with lab.connect() as sock:
                sock.sendall(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
                assert read_all(sock).endswith(b"ok")
            told.wait(lambda seen: len(seen.exchanges) == 1)
            reason = "upstream_reset" if depends and not whole else ""
            assert [one.reason for one in told.exchanges] == [reason]
