"""A relay on a loop of its own thread, a scripted upstream, and a decider that does what a test says."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.relay.contexts import Contexts
from kecs.relay.decide import (
    Address,
    Connection,
    Exchange,
    Failure,
    Filter,
    Forward,
    Gather,
    Look,
    Pass,
    Peeked,
    Same,
    Serve,
    Terminate,
    Upstream,
    Verdict,
    Wire,
)
from kecs.relay.relay import Relay, RelayConfig

NAME = "s3.us-east-1.amazonaws.com"
PATIENCE_S = 15
NOWHERE = Address("192.0.2.1", 443)


@dataclass
class Script:
    """The decider: every AWS name is intercepted, everything goes to one upstream, all that happens is kept."""

    upstream: Upstream
    looks: Look = Look.PEEK
    wants: int = 0
    sames: Callable[[Exchange, Forward], Same | None] | None = None
    answer: Answer | None = None
    replaced: Callable[[bytes], tuple[RequestHead, bytes]] | None = None
    """Makes another request of one that was shown whole."""
    gathers: int = 0
    """Bodies of answers are collected up to this."""
    rewritten: Callable[[ResponseHead, bytes], Answer] | None = None
    through: Callable[[], Filter] | None = None
    """What longer bodies stream through."""
    verdicts: dict[Wire, Verdict] = field(default_factory=dict)
    shown: list[bytes] = field(default_factory=list)
    wholes: list[bool] = field(default_factory=list)
    outgrown: list[bytes] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    ends: list[tuple[Peeked, str, int, int]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def look(self, connection: Connection) -> Look:
        del connection
        return self.looks

    def connection(self, connection: Connection, peeked: Peeked) -> Verdict:
        del connection
        if peeked.wire in self.verdicts:
            return self.verdicts[peeked.wire]
        if not peeked.name.endswith("amazonaws.com"):
            return Pass()
        return Terminate(name=peeked.name) if peeked.wire is Wire.TLS else Serve()

    def body_wanted(self, connection: Connection, head: RequestHead) -> int:
        del connection, head
        return self.wants

    def request(self, exchange: Exchange, body: bytes) -> Forward | Answer:
        self.shown.append(body)
        self.wholes.append(exchange.body_whole)
        if self.replaced is not None:
            head, changed = self.replaced(body)
            return Forward(upstream=self.upstream, head=head, body=changed)
        return self.answer or Forward(upstream=self.upstream, head=exchange.head)

    def alike(self, connection: Connection, name: str) -> str | None:
        del connection
        return name if self.sames is not None else None

    def same(self, exchange: Exchange, forward: Forward) -> Same | None:
        return None if self.sames is None else self.sames(exchange, forward)

    def response(self, exchange: Exchange, head: ResponseHead) -> ResponseHead | Gather:
        del exchange
        return Gather(head, self.gathers) if self.gathers else head

    def gathered(self, exchange: Exchange, head: ResponseHead, body: bytes) -> Answer:
        del exchange
        if self.rewritten is None:
            return Answer(status=head.status, fields=head.fields, body=body)
        return self.rewritten(head, body)

    def overgrown(
        self, exchange: Exchange, head: ResponseHead, body_so_far: bytes
    ) -> tuple[ResponseHead, Filter | None]:
        del exchange
        self.outgrown.append(body_so_far)
        return head, None if self.through is None else self.through()

    def failed(self, exchange: Exchange, failure: Failure, detail: str) -> Answer:
        del exchange
        return Answer(status=503, body=f"{failure}: {detail}".encode())

    def invalid(self, exchange: Exchange | None, status: int, detail: str) -> Answer:
        del exchange
        return Answer(status=status, body=detail.encode())

    def record(self, exchange: Exchange) -> None:
        with self.changed:
            self.exchanges.append(exchange)
            self.changed.notify_all()

    def closed(  # noqa: PLR0917 - the protocol's
        self, connection: Connection, verdict: Verdict, peeked: Peeked, reason: str, sent: int, received: int
    ) -> None:
        del connection, verdict
        with self.changed:
            self.ends.append((peeked, reason, sent, received))
            self.changed.notify_all()

    def wait(self, holds: Callable[[Self], bool]) -> None:
        """Wait until what was recorded satisfies the test."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self), PATIENCE_S), (self.exchanges, self.ends)


class Authority:
    """One self-signed root that signs leaves: enough for handshakes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab root")])
        self.root = self._build(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
        self.minted: list[tuple[str, ...]] = []

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        for extension in (
            *extensions,
            x509.SubjectKeyIdentifier.from_public_key(key),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        ):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        ca = isinstance(extensions[0], x509.BasicConstraints)
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )  # fmt: skip
        return builder.sign(self._key, hashes.SHA256())

    def mint(self, names: tuple[str, ...]) -> tuple[bytes, bytes, datetime]:
        self.minted.append(names)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        leaf = self._build(subject, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(n) for n in names]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return leaf.public_bytes(serialization.Encoding.PEM), private, leaf.not_valid_after_utc

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self.root.public_bytes(serialization.Encoding.PEM).decode())
        return context


type Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(handler: Handler, family: int = socket.AF_INET) -> Iterator[Address]:
    """Serve each connection with the handler, on a thread of its own."""
    listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(PATIENCE_S)
            handler(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Address(*listener.getsockname()[:2])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)


def read_head(sock: socket.socket, held: bytearray) -> bytes:
    """Read a head; `held` keeps what came after it."""
    while b"\r\n\r\n" not in held:
        data = sock.recv(65536)
        if not data:
            return b""
        held += data
    end = held.index(b"\r\n\r\n") + 4
    head = bytes(held[:end])
    del held[:end]
    return head


def read_exactly(sock: socket.socket, count: int, held: bytearray | None = None) -> bytes:
    """Read this many bytes; fewer when the peer ends."""
    data = bytearray(held or b"")
    if held is not None:
        held.clear()
    while len(data) < count:
        piece = sock.recv(min(1 << 20, count - len(data)))
        if not piece:
            break
        data += piece
    return bytes(data)


def read_all(sock: socket.socket) -> bytes:
    """Read to the end; a reset counts as one."""
    pieces = []
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition that nobody announces."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.005)


class Lab:
    """A running relay. `connect` reaches it as an intercepted client; `destination` is where it wanted to go."""

    def __init__(
        self,
        script: Script,
        config: RelayConfig | None = None,
        *,
        run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run,
        destination: Address = NOWHERE,
        **options: Any,
    ) -> None:
        self.script = script
        self.authority = Authority()
        self.destination = destination
        self._config = config or RelayConfig(peek_timeout_s=5)  # a test that is held up is not silent
        self._options = options
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: run(self._main()), daemon=True)
        self.address = Address("", 0)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.relay = Relay(self.script, contexts=Contexts(self.authority.mint), config=self._config, **self._options)
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*listener.getsockname()[:2])
        self.relay.listen(listener, original_destination=lambda _: self.destination)
        self._started.set()
        await self._stop.wait()
        self.relay.close()
        self.left_open = self.relay.open

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.left_open == 0

    def call[T](self, function: Callable[[], T]) -> T:
        """Call on the relay's thread."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_S)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect_tls(self, name: str = NAME) -> ssl.SSLSocket:
        context = self.authority.client_context()  # before the connection: a silent client is not waited for long
        return context.wrap_socket(self.connect(), server_hostname=name)


@contextlib.contextmanager
def standing(lab: Lab) -> Iterator[None]:
    """Let the relay's loop do nothing: what arrives meanwhile waits for it, in its order."""
    stands, goes_on = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        goes_on.wait(PATIENCE_S)

    lab.loop.call_soon_threadsafe(stand)
    assert stands.wait(PATIENCE_S)
    try:
        yield
    finally:
        goes_on.set()
