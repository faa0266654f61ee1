"""A serving certificate replaced under real handshakes."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from kecs.certs.authority import issue_root
from kecs.certs.outcome import Step
from kecs.certs.rotation import Scope, create, prepare, switch
from kecs.certs.serving import LiveContext, Serving, covering, issue, read
from kecs.core.errors import AuthorityError

NOW = datetime.now(UTC)
NAME = "kecs-injector.kecs-system.svc"
SCOPE = Scope(permitted=("amazonaws.com",), services=("kecs-system.svc",))


def made() -> tuple[Serving, Serving, bytes, bytes]:
    """Give a certificate of the first generation, one of the second, and both bundles."""
    first = create(SCOPE, NOW)
    prepared = prepare(first, NOW, SCOPE)
    assert isinstance(prepared, Step)
    second = switch(prepared.state, NOW, SCOPE)
    assert isinstance(second, Step)
    old, new = first.authority, second.state.authority
    return issue(old, (NAME,), NOW), issue(new, (NAME,), NOW), old.bundle_pem, new.bundle_pem


OLD, NEW, OLD_ROOTS, BOTH_ROOTS = made()


class Server:
    """Echoes lines over TLS, one thread per connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._context.wrap_socket(client, server_side=True) as wrapped:
            while data := wrapped.recv(1024):
                wrapped.sendall(data)

    def close(self) -> None:
        self._listener.close()


def client(address: tuple[str, int], roots: bytes) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=roots.decode())
    return context.wrap_socket(socket.create_connection(address, timeout=10), server_hostname=NAME)


def serial(connection: ssl.SSLSocket) -> int:
    der = connection.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture
def live() -> LiveContext:
    found = LiveContext()
    found.load(OLD)
    return found


@pytest.fixture
def server(live: LiveContext) -> Iterator[Server]:
    found = Server(live.context)
    yield found
    found.close()


@pytest.mark.parametrize("roots", [OLD_ROOTS, BOTH_ROOTS], ids=["knows the old root", "knows both"])
def test_a_renewal_breaks_nothing(live: LiveContext, server: Server, roots: bytes) -> None:
    with client(server.address, roots) as before:
        live.load(NEW)
        with client(server.address, roots) as after:
            assert serial(before) != serial(after)
            for connection in (before, after):
                connection.sendall(b"still here")
                assert connection.recv(1024) == b"still here"


def test_it_speaks_tls_1_3_alone(server: Server) -> None:
    context = ssl.create_default_context(cadata=OLD_ROOTS.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(server.address, timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname=NAME)


def test_a_key_of_another_is_refused_and_the_old_one_served_on(live: LiveContext, server: Server) -> None:
    wrong = Serving(
        chain_pem=NEW.chain_pem,
        key_pem=OLD.key_pem,
        not_before=NEW.not_before,
        not_after=NEW.not_after,
        issuer_sha256="x",
    )
    with pytest.raises(AuthorityError, match="can't be used"):
        live.load(wrong)
    assert live.serving is OLD
    with client(server.address, OLD_ROOTS) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"


def test_what_was_issued_reads_back() -> None:
    found = read(OLD.chain_pem, OLD.key_pem, source="Secret kecs-injector-tls")
    assert found == OLD


@pytest.mark.parametrize("chain", [b"", b"garbage", OLD.chain_pem[: OLD.chain_pem.index(b"-----END") + 25]])
def test_what_is_no_chain_is_refused_by_name(chain: bytes) -> None:
    with pytest.raises(AuthorityError, match="Secret kecs-injector-tls"):
        read(chain, OLD.key_pem, source="Secret kecs-injector-tls")


@pytest.mark.parametrize(
    ("age", "issuer", "due"),
    [
        (timedelta(0), OLD.issuer_sha256, False),
        (timedelta(days=4.5), OLD.issuer_sha256, False),
        (timedelta(days=4.8), OLD.issuer_sha256, True),
        (timedelta(0), NEW.issuer_sha256, True),
    ],
    ids=["fresh", "younger than two thirds", "older than two thirds", "another issuer"],
)
def test_when_it_is_due(age: timedelta, issuer: str, due: bool) -> None:  # noqa: FBT001
    assert OLD.due(NOW + age, issuer) is due


def test_a_certificate_for_another_namespace_is_not_signed() -> None:
    with pytest.raises(AuthorityError, match=r"other\.svc"):
        issue(create(SCOPE, NOW).authority, ("kecs-injector.other.svc",), NOW)


def test_bundles_are_joined_without_twins() -> None:
    one, two = (issue_root(NOW, permitted=("amazonaws.com",)).certificate for _ in range(2))
    assert covering((one,), (two, one)) == (one, two)
