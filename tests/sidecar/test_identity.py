"""What a pod believes of what it is sent, and of who sends it."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from certs_lab import stepped
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs import serving
from kecs.certs.authority import certificate_pem, new_key
from kecs.certs.csr import Csr, read
from kecs.certs.issuance import Denial
from kecs.certs.rotation import Scope, create, prepare, switch
from kecs.certs.server import described
from kecs.certs.state import Authority
from kecs.core.errors import ConfigError
from kecs.sidecar.identity import Granted, Identity, Reason, RenewalError, denied, granted, issuer_of
from kecs.sidecar.identity_client import IdentityClient

SCOPE = Scope(permitted=("amazonaws.com", "api.aws"), services=("localhost",))
NOW = datetime.now(UTC).replace(microsecond=0)
STATE = create(SCOPE, NOW)
OURS = STATE.authority
SWITCHED = stepped(switch(stepped(prepare(STATE, NOW, SCOPE)), NOW, SCOPE)).authority
FOREIGN = create(SCOPE, NOW).authority
KEY = new_key()
DAY = timedelta(days=1)


def answer(authority: Authority = OURS, *, now: datetime = NOW, **changes: Any) -> bytes:
    """Say what the service says."""
    chain = authority.sign_intermediate(KEY.public_key(), now, subject="pod demo/app")
    return spelled(chain, authority, changes)


def spelled(
    chain: tuple[x509.Certificate, ...], authority: Authority = OURS, changes: Mapping[str, Any] | None = None
) -> bytes:
    said = {"chain": certificate_pem(*chain).decode(), "not_after": "", **described(authority), **(changes or {})}
    return json.dumps(said).encode()


def take(body: bytes, *, trusted: Authority = OURS, now: datetime = NOW) -> Granted:
    return granted(body, KEY, trusted=trusted.bundle, now=now)


@pytest.mark.parametrize(
    ("authority", "trusted"),
    [
        pytest.param(OURS, OURS, id="one generation"),
        pytest.param(SWITCHED, OURS, id="a pod that trusts the old root alone"),
        pytest.param(SWITCHED, SWITCHED, id="a pod that trusts both"),
        pytest.param(SWITCHED, replace(SWITCHED, bundle=SWITCHED.bundle[:1]), id="a pod that trusts the new one"),
    ],
)
def test_what_the_pods_clients_verify_is_taken(authority: Authority, trusted: Authority) -> None:
    found = take(answer(authority), trusted=trusted)
    assert (found.generation, found.issuer_sha256) == (authority.generation, authority.issuer_sha256)
    assert found.intermediate.above == authority.sign_intermediate(KEY.public_key(), NOW, subject="x")[1:]


def test_it_is_the_chain_that_says_who_signed() -> None:
    assert take(answer(issuer_sha256="00")).issuer_sha256 == OURS.issuer_sha256


CHAIN = OURS.sign_intermediate(KEY.public_key(), NOW, subject="x")
OTHERS = OURS.sign_intermediate(new_key().public_key(), NOW, subject="x")
LEAF = serving.issue(OURS, ("localhost",), NOW)


@pytest.mark.parametrize(
    ("body", "now", "reason", "says"),
    [
        pytest.param(answer(FOREIGN), NOW, Reason.CHAIN_UNVERIFIED, "refuses what is served", id="a foreign root"),
        pytest.param(spelled(OTHERS), NOW, Reason.CHAIN_UNUSABLE, "not that of", id="another's key"),
        pytest.param(spelled(CHAIN[:1]), NOW, Reason.CHAIN_UNUSABLE, "no issuer", id="without its issuer"),
        pytest.param(spelled(CHAIN[::-1]), NOW, Reason.CHAIN_UNUSABLE, "not that of", id="the wrong way round"),
        pytest.param(
            spelled((CHAIN[0], FOREIGN.issuer.certificate)),
            NOW,
            Reason.CHAIN_UNUSABLE,
            "was not signed by",
            id="with another's issuer",
        ),
        pytest.param(answer(chain="garbage"), NOW, Reason.CHAIN_UNUSABLE, "can't be read", id="no PEM"),
        pytest.param(answer(), NOW + DAY, Reason.CHAIN_UNUSABLE, "is valid from", id="ended by this clock"),
        pytest.param(answer(), NOW - DAY, Reason.CHAIN_UNUSABLE, "is valid from", id="not begun by this clock"),
        pytest.param(answer(chain=1), NOW, Reason.ANSWER_INVALID, "no chain", id="a chain that is none"),
        pytest.param(answer(generation=True), NOW, Reason.ANSWER_INVALID, "no generation", id="no generation"),
        pytest.param(b"[]", NOW, Reason.ANSWER_INVALID, "no object", id="no object"),
        pytest.param(b"<html>", NOW, Reason.ANSWER_INVALID, "<html>", id="no JSON"),
        pytest.param(b"", NOW, Reason.ANSWER_INVALID, "nothing", id="nothing"),
        pytest.param(b"[" * 10**5, NOW, Reason.ANSWER_INVALID, "no JSON", id="a deep nest"),
    ],
)
def test_what_they_could_not_verify_is_not(body: bytes, now: datetime, reason: Reason, says: str) -> None:
    with pytest.raises(RenewalError, match=says) as caught:
        take(body, now=now)
    assert caught.value.reason is reason
    assert caught.value.hint


@pytest.mark.parametrize("minutes", [-10, 10])
def test_clocks_that_are_ten_minutes_apart_agree(minutes: int) -> None:
    found = take(answer(), now=NOW + timedelta(minutes=minutes))
    assert found.generation == 1


def test_a_leaf_signs_nothing() -> None:
    chain = tuple(x509.load_pem_x509_certificates(LEAF.chain_pem))
    with pytest.raises(RenewalError) as caught:
        take(spelled(chain))
    assert caught.value.reason is Reason.CHAIN_UNUSABLE


@given(st.binary(max_size=400))
def test_any_bytes_are_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(RenewalError):
        take(body)
    with pytest.raises(RenewalError):
        issuer_of(body)
    assert denied(500, body, body.decode("latin-1")).retry_after_s >= 0


def test_who_signs_now() -> None:
    assert issuer_of(json.dumps(described(OURS)).encode()) == OURS.issuer_sha256
    for body in (b"{}", b'{"issuer_sha256": ""}', b'{"issuer_sha256": 1}'):
        with pytest.raises(RenewalError, match="names no issuer"):
            issuer_of(body)


@pytest.mark.parametrize(
    ("status", "said", "reason", "lasting"),
    [
        (401, {"reason": "token_refused", "message": "no", "hint": "do"}, Denial.TOKEN_REFUSED, False),
        (403, {"reason": "not_opted_in", "message": "no", "hint": "do"}, Denial.NOT_OPTED_IN, True),
        (409, {"reason": "chain_untrusted", "message": "no", "hint": "do"}, Denial.CHAIN_UNTRUSTED, False),
        (503, {"reason": "no_issuer", "message": "no", "hint": "do"}, Denial.NO_ISSUER, False),
        (503, {"reason": "of a later version"}, Reason.ANSWER_INVALID, False),
        (404, {"detail": "Not Found"}, Reason.ANSWER_INVALID, False),
    ],
)
def test_a_denial_keeps_its_reason(
    status: int, said: dict[str, str], reason: Denial | Reason, *, lasting: bool
) -> None:
    error = denied(status, json.dumps(said).encode(), "7")
    assert (error.reason, error.lasting, error.retry_after_s) == (reason, lasting, 7)
    if isinstance(reason, Denial):
        assert (error.message, error.hint) == (f"the certificate service answered {status}: no", "do")
    assert denied(status, b"x", "Fri, 31 Dec 1999 23:59:59 GMT").retry_after_s == 0
    assert "\x1b" not in denied(502, b"\x1b[31m", "").message


# where


def environment(**changes: str) -> dict[str, str]:
    return {
        "KECS_SIDECAR_CERTS_URL": "https://kecs-certs.kecs-system.svc",
        "POD_NAMESPACE": "demo",
        "POD_NAME": "app",
    } | changes


def test_where_is_in_the_environment() -> None:
    found = Identity.read(environment())
    assert (found.host, found.port, found.subject) == ("kecs-certs.kecs-system.svc", 443, "demo/app")
    assert (found.token_file, found.trust_file) == ("/var/run/secrets/kecs.io/token", "/var/run/kecs/trust/ca.pem")
    assert found.url == "https://kecs-certs.kecs-system.svc"
    other = Identity.read(
        environment(
            KECS_SIDECAR_CERTS_URL="https://[::1]:8443/", KECS_SIDECAR_TOKEN_FILE="/t", KECS_SIDECAR_TRUST_FILE="/c"
        )
    )
    assert (other.host, other.port, other.token_file, other.trust_file) == ("::1", 8443, "/t", "/c")
    assert other.url == "https://[::1]:8443"


@pytest.mark.parametrize("change", [{"POD_NAME": "a" * 60}, {"POD_NAME": ""}, {"POD_NAMESPACE": ""}])
def test_a_name_that_fits_no_certificate_is_left_out(change: Mapping[str, str]) -> None:
    assert Identity.read(environment(**change)).subject == ""


@pytest.mark.parametrize(
    "url",
    ["", "kecs-certs", "http://a", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:x", "//[a"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="KECS_SIDECAR_CERTS_URL") as caught:
        Identity.read(environment(KECS_SIDECAR_CERTS_URL=url))
    assert "https://" in caught.value.hint


# asking


@dataclass
class Service:
    """A service that says what it is told to."""

    port: int
    status: int = 200
    body: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.tls.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""


@contextlib.contextmanager
def service(
    live: serving.Serving | None = None, *, issues: Authority = OURS, newest: ssl.TLSVersion | None = None
) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((self.command, self.path, dict(self.headers.items()), body))
            self.send_response_only(found.status)
            for key, value in found.fields.items():
                self.send_header(key, value)
            self.end_headers()
            said = found.body
            if not said and self.path == "/v1/intermediate":
                csr = read(body)
                assert isinstance(csr, Csr)
                said = spelled(issues.sign_intermediate(csr.public_key, NOW, subject="pod"), issues)
            self.wfile.write(said or json.dumps(described(issues)).encode())

        do_GET = do_POST = handle_any  # noqa: N815 - http.server's spelling

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = serving.LiveContext(minimum=ssl.TLSVersion.TLSv1_2)
    context.load(live or LEAF)
    if newest is not None:
        context.context.maximum_version = newest
    server = _Server(("127.0.0.1", 0), Handler)
    server.tls = context.context
    found = Service(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret\n", encoding="ascii")
    (tmp_path / "ca.pem").write_bytes(b"# ours\n" + OURS.bundle_pem)
    return tmp_path


def client(files: Path, port: int) -> IdentityClient:
    return IdentityClient(
        Identity(
            host="localhost",
            port=port,
            token_file=str(files / "token"),
            trust_file=str(files / "ca.pem"),
            subject="demo/app",
        )
    )


def test_asking(files: Path) -> None:
    with service() as found:
        asking = client(files, found.port)
        assert asking.issuer() == OURS.issuer_sha256
        first, second = asking.intermediate(NOW), asking.intermediate(NOW)
    assert first.intermediate.signer.key != second.intermediate.signer.key  # a new key each time
    (poll, post, _) = found.asked
    assert poll[:2] == ("GET", "/v1/authority")
    assert "Authorization" not in poll[2]
    assert poll[2]["Connection"] == "close"
    assert post[:2] == ("POST", "/v1/intermediate")
    assert post[2]["Authorization"] == "Bearer secret"
    asked = read(post[3])
    assert isinstance(asked, Csr)
    assert asked.subject == "demo/app"


def failure(files: Path, port: int) -> RenewalError:
    with pytest.raises(RenewalError) as caught:
        client(files, port).intermediate(NOW)
    assert caught.value.hint
    assert "secret" not in caught.value.message
    return caught.value


def test_a_chain_of_a_foreign_root_from_a_service_that_is_ours(files: Path) -> None:
    with service(issues=FOREIGN) as found:
        error = failure(files, found.port)
    assert (error.reason, "restart the pod" in error.hint) == (Reason.CHAIN_UNVERIFIED, True)
    assert found.asked


LONG_AGO = NOW - timedelta(days=1000)
"""Roots last for ten years, issuers for ninety days."""
OLD = create(SCOPE, LONG_AGO).authority


@pytest.mark.parametrize(
    ("live", "newest", "reason", "hint"),
    [
        pytest.param(
            serving.issue(FOREIGN, ("localhost",), NOW), None, Reason.SERVICE_UNTRUSTED, "restart", id="foreign"
        ),
        pytest.param(
            serving.issue(OURS, ("other.localhost",), NOW), None, Reason.SERVICE_UNTRUSTED, "restart", id="another name"
        ),
        pytest.param(
            serving.issue(OLD, ("localhost",), LONG_AGO), None, Reason.SERVICE_UNTRUSTED, "clock", id="it has ended"
        ),
        pytest.param(LEAF, ssl.TLSVersion.TLSv1_2, Reason.SERVICE_UNREACHABLE, "running", id="TLS 1.2"),
    ],
)
def test_who_can_not_show_that_it_is_the_service_gets_no_token(
    files: Path, live: serving.Serving, newest: ssl.TLSVersion | None, reason: Reason, hint: str
) -> None:
    (files / "ca.pem").write_bytes(OURS.bundle_pem + OLD.bundle_pem)
    with service(live, newest=newest) as found:
        error = failure(files, found.port)
    assert (error.reason, hint in error.hint) == (reason, True)
    assert found.asked == []


def test_nobody_is_there(files: Path) -> None:
    with service() as found:
        port = found.port
    error = failure(files, port)
    assert (error.reason, error.message) == (
        Reason.SERVICE_UNREACHABLE,
        f"https://localhost:{port} does not answer: connection refused",
    )


@pytest.mark.parametrize(
    ("status", "body", "fields", "reason", "after_s"),
    [
        (429, b'{"reason": "too_many", "message": "wait"}', {"Retry-After": "40"}, Denial.TOO_MANY, 40),
        (302, b"", {"Location": "https://example.com"}, Reason.ANSWER_INVALID, 0),
        (200, b"x" * (1 << 20), {}, Reason.ANSWER_INVALID, 0),
        (200, b"x", {"Content-Length": "9"}, Reason.ANSWER_INVALID, 0),
    ],
)
def test_answers_of_other_kinds(
    *, files: Path, status: int, body: bytes, fields: dict[str, str], reason: Reason | Denial, after_s: float
) -> None:
    with service() as found:
        found.status, found.body, found.fields = status, body, fields
        error = failure(files, found.port)
    assert (error.reason, error.retry_after_s) == (reason, after_s)
    assert len(error.message) < 700


@pytest.mark.parametrize("content", [b"", b"\n", b"a b\x00", "tökén".encode(), b"x" * 20000])
def test_what_is_no_token_is_not_sent(files: Path, content: bytes) -> None:
    (files / "token").write_bytes(content)
    assert failure(files, 1).reason is Reason.TOKEN_UNREADABLE


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_are_no_roots_are_not_trusted(files: Path, content: bytes) -> None:
    (files / "ca.pem").write_bytes(content)
    error = failure(files, 1)
    assert error.reason is Reason.TRUST_UNREADABLE
    assert str(files / "ca.pem") in error.message
