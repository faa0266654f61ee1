"""The client without threads, against a server that says exactly what a case wants, byte for byte."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from kecs.certs.authority import certificate_pem, key_pem, new_key
from kecs.certs.kube import Kube, KubeError, NotFoundError, UnavailableError
from kecs.certs.kube_async import AsyncKube
from kecs.core.errors import ConfigError


def answer(body: bytes = b'{"a":1}', status: int = 200, *fields: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields, "", "")).encode() + body


@dataclass
class Server:
    """A script per connection: what each request on it is answered with. None closes."""

    scripts: list[list[bytes | None]]
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    tasks: set[asyncio.Task[Any] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        script = self.scripts[self.connections] if self.connections < len(self.scripts) else []
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for said in script:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
                self.requests.append(head + await reader.readexactly(int(lengths[0]) if lengths else 0))
                if said is None:
                    break
                for start in range(0, len(said), 1 << 16):
                    writer.write(said[start : start + (1 << 16)])
                    await writer.drain()
            else:
                await reader.read()


def configured(directory: Path, url: str, **cluster: Any) -> Path:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": url, **cluster}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": {"token": "tests"}}],
    }  # fmt: skip
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def served(
    directory: Path, *scripts: list[bytes | None], **options: Any
) -> AsyncIterator[tuple[Server, AsyncKube]]:
    lab = Server(list(scripts))
    listening = await asyncio.start_server(lab.serve, "127.0.0.1", 0)
    lab.port = listening.sockets[0].getsockname()[1]
    kube = AsyncKube(Kube.load(kubeconfig=str(configured(directory, f"http://127.0.0.1:{lab.port}"))), **options)
    try:
        yield lab, kube
    finally:
        kube.close()
        listening.close()
        await asyncio.gather(*(task for task in lab.tasks if task))


def run(directory: Path, case: Callable[[Server, AsyncKube], Awaitable[None]], *scripts: Any, **options: Any) -> None:
    async def whole() -> None:
        async with served(directory, *scripts, **options) as (lab, kube):
            await case(lab, kube)

    asyncio.run(whole())


def test_one_connection_serves_them_all(tmp_path: Path) -> None:
    async def case(lab: Server, kube: AsyncKube) -> None:
        assert await kube.get("/api/v1/namespaces/demo") == {"a": 1}
        assert await kube.review("/reviews", {"spec": "x"}) == {"b": 2}
        assert await kube.find("/gone") is None
        assert await kube.find("/there") == {"a": 1}
        assert lab.connections == 1

    missing = answer(b'{"kind":"Status","reason":"NotFound","message":"no such thing"}', 404)
    run(tmp_path, case, [answer(), answer(b'{"b":2}'), missing, answer()])


def test_what_is_asked(tmp_path: Path) -> None:
    async def case(lab: Server, kube: AsyncKube) -> None:
        await kube.get("/one")
        await kube.review("/two", {"spec": "x"})
        first, second = lab.requests
        assert first.startswith(b"GET /one HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAuthorization: Bearer tests\r\n" in first
        assert second.endswith(b'\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"spec":"x"}')

    run(tmp_path, case, [answer(), answer()])


@pytest.mark.parametrize(
    ("first", "options"),
    [
        pytest.param([answer(), None], {}, id="closed as the second was asked"),
        pytest.param([answer(b'{"a":1}', 200, "Connection: close")], {}, id="announced"),
        pytest.param([answer()], {"idle_s": 0.0}, id="idle for too long"),
    ],
)
def test_a_kept_connection_may_have_ended(tmp_path: Path, first: list[bytes | None], options: dict[str, Any]) -> None:
    async def case(lab: Server, kube: AsyncKube) -> None:
        assert await kube.get("/one") == {"a": 1}
        assert await kube.get("/two") == {"b": 2}
        assert lab.connections == 2

    run(tmp_path, case, first, [answer(b'{"b":2}')], **options)


def test_calls_at_the_same_time_have_connections_of_their_own(tmp_path: Path) -> None:
    async def case(lab: Server, kube: AsyncKube) -> None:
        found = await asyncio.gather(*(kube.get(f"/{number}") for number in range(3)))
        assert found == [{"a": 1}] * 3
        assert lab.connections == 3
        await asyncio.gather(*(kube.get(f"/{number}") for number in range(3)))
        assert lab.connections == 3

    run(tmp_path, case, *([[answer(), answer()]] * 3))


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'


def test_chunks(tmp_path: Path) -> None:
    async def case(_lab: Server, kube: AsyncKube) -> None:
        assert await kube.get("/one") == {"a": 1}

    run(tmp_path, case, [CHUNKED])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param(None, "closed before the answer's end", id="closed"),
        pytest.param(b"220 mail.example ESMTP\r\n", "does not answer", id="no HTTP"),
        pytest.param(answer(b"<html>"), "in JSON", id="no JSON"),
        pytest.param(answer(b"[1]"), "with an object", id="no object"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b" " * 9_000_000, "callback", id="endless"
        ),
        pytest.param(answer()[:-1], "not within 0.5 s", id="never complete"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, said: bytes | None, message: str) -> None:
    async def case(_lab: Server, kube: AsyncKube) -> None:
        with pytest.raises(UnavailableError, match=message):
            await kube.get("/one")

    run(tmp_path, case, [said], timeout_s=0.5)


@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [(403, KubeError, None), (404, NotFoundError, None), (429, UnavailableError, 7.0), (500, UnavailableError, 7.0)],
)
def test_a_no(tmp_path: Path, status: int, kind: type[KubeError], after: float | None) -> None:
    async def case(_lab: Server, kube: AsyncKube) -> None:
        with pytest.raises(kind, match="pods is forbidden") as caught:
            await kube.get("/one")
        assert (caught.value.status, caught.value.retry_after_s) == (status, after)

    fields = ["Retry-After: 7"] if after else []
    run(tmp_path, case, [answer(b'{"message":"pods is forbidden"}', status, *fields)])


def test_nobody_listens(tmp_path: Path) -> None:
    async def whole() -> None:
        kube = AsyncKube(Kube.load(kubeconfig=str(configured(tmp_path, "http://127.0.0.1:1"))))
        with pytest.raises(UnavailableError, match="does not answer"):
            await kube.get("/one")

    asyncio.run(whole())


def plain_certificates() -> tuple[bytes, bytes]:
    """Make a CA as EKS does, without key identifiers, and a server's chain and key below it."""
    now, keys = datetime.now(UTC), (new_key(), new_key())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("kubernetes", "api")]
    made = []
    for name, key, authority in zip(names, keys, (True, False), strict=True):
        builder = x509.CertificateBuilder(
            names[0], name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            hosts = [x509.IPAddress(ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    return certificate_pem(made[0]), certificate_pem(made[1]) + key_pem(keys[1])


class Plain(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(answer())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def over_tls(certificate: Path) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_ca_of_a_cluster_may_lack_key_identifiers_and_is_still_verified(tmp_path: Path) -> None:
    authority, server = plain_certificates()
    (tmp_path / "ca.pem").write_bytes(authority)
    (tmp_path / "other.pem").write_bytes(plain_certificates()[0])
    (tmp_path / "server.pem").write_bytes(server)
    with over_tls(tmp_path / "server.pem") as url:
        good, bad = (
            Kube.load(kubeconfig=str(configured(tmp_path, url, **{"certificate-authority": str(tmp_path / name)})))
            for name in ("ca.pem", "other.pem")
        )
        assert good.get("/one") == {"a": 1}
        assert asyncio.run(AsyncKube(good).get("/one")) == {"a": 1}
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            bad.get("/one")
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(AsyncKube(bad).get("/one"))
        good.close()
        bad.close()


def test_a_ca_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"garbage")
    path = configured(tmp_path, "https://127.0.0.1:1", **{"certificate-authority": str(tmp_path / "ca.pem")})
    with pytest.raises(ConfigError, match="no cluster to talk to"):
        Kube.load(kubeconfig=str(path))
