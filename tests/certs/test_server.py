"""The service as a process, asked over TLS: every refusal as a client sees it, changes of the issuer, garbage."""

import http.client
import json
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certs_service_lab import SCOPE, SERVICE_NAME, CertsService, certs_service, new_state, pod, review, write_issuer
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.authority import new_key
from kecs.certs.bundle import fingerprint
from kecs.certs.csr import make
from kecs.certs.outcome import State, Step
from kecs.certs.rotation import prepare, retire, switch
from kecs.certs.verify import verify_served

KEY = new_key()


@dataclass(slots=True)
class Lab:
    api: ApiServer
    service: CertsService
    issuer: Path
    state: State

    @contextmanager
    def connection(self, roots: bytes | None = None) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cadata=(roots or self.state.authority.bundle_pem).decode())
        port = self.service.port

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                plain = socket.create_connection(("127.0.0.1", port), timeout=20)
                self.sock = context.wrap_socket(plain, server_hostname=SERVICE_NAME)

        with closing(Connection(SERVICE_NAME)) as found:
            yield found

    def ask(
        self,
        body: bytes = b"",
        token: str = "good",  # noqa: S107 - the fake's
        *,
        roots: bytes | None = None,
    ) -> tuple[int, Any]:
        with self.connection(roots) as connection:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request("POST", "/v1/intermediate", body=body or make(KEY), headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def become(self, state: State) -> None:
        """Provide another issuer, and wait until it is taken."""
        write_issuer(self.issuer, state.authority)
        self.state = state
        self.service.next_line("issuer_loaded")

    def health(self, path: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.service.health_port, timeout=20)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("certs")
    issuer = directory / "issuer"
    issuer.mkdir()
    state = new_state()
    write_issuer(issuer, state.authority)
    with (
        api_server() as api,
        certs_service(api, issuer, directory, environment={"KECS_CERTS_BURST": "100000"}) as service,
    ):
        yield Lab(api, service, issuer, state)


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    running.api.tokens["good"] = review()
    running.api.put("pods", pod())
    yield running
    running.api.faults.clear()
    running.api.tokens.clear()
    running.api.objects.clear()


def certificates(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def test_a_pod_gets_its_intermediate(lab: Lab) -> None:
    status, body = lab.ask(make(KEY, "demo/app"))
    assert status == 200
    intermediate, issuer = certificates(body["chain"])
    assert intermediate.public_key() == KEY.public_key()
    assert intermediate.subject.rfc4514_string() == "CN=KECS pod demo/app,O=KECS"
    assert fingerprint(issuer) == body["issuer_sha256"]
    assert body["trust_sha256"] == list(lab.state.authority.trust_sha256)
    lifetime = intermediate.not_valid_after_utc - datetime.now(UTC)
    assert 23.9 < lifetime.total_seconds() / 3600 <= 24
    constraints = intermediate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = {tree.value for tree in constraints.value.permitted_subtrees or ()}
    assert permitted == {"amazonaws.com", "api.aws"}  # none of our own services' names


def token_of(**changes: Any) -> dict[str, Any]:
    return review() | changes


@pytest.mark.parametrize(
    ("status", "reason", "token", "found", "body"),
    [
        pytest.param(401, "no_token", None, pod(), b"", id="no token"),
        pytest.param(401, "token_refused", token_of(authenticated=False), pod(), b"", id="forged token"),
        pytest.param(401, "wrong_audience", token_of(audiences=["x"]), pod(), b"", id="wrong audience"),
        pytest.param(
            403, "not_bound", token_of(user={"username": "system:serviceaccount:a:b"}), pod(), b"", id="unbound"
        ),
        pytest.param(403, "no_pod", review(), None, b"", id="a deleted pod"),
        pytest.param(403, "other_pod", review(), pod(uid="later"), b"", id="another uid"),
        pytest.param(403, "ending", review(), pod(deletionTimestamp="2026-11-21T00:00:00Z"), b"", id="ending"),
        pytest.param(403, "ended", review(), pod() | {"status": {"phase": "Succeeded"}}, b"", id="completed"),
        pytest.param(403, "no_sidecar", review(), pod() | {"spec": {"containers": []}}, b"", id="no sidecar"),
        pytest.param(403, "not_opted_in", review(), pod(annotations={}), b"", id="nobody asked"),
        pytest.param(400, "csr", review(), pod(), b"garbage", id="garbage"),
        pytest.param(400, "csr", review(), pod(), make(KEY, "other/pod"), id="a name outside"),
        pytest.param(413, "too_large", review(), pod(), b"x" * (10 << 20), id="ten megabytes"),
        pytest.param(
            409,
            "chain_untrusted",
            review(),
            pod(annotations={"kecs.io/aws-proxy-mode": "sidecar", "kecs.io/trust-root-sha256": "00"}),
            b"",
            id="trusts another root",
        ),
    ],
)
def test_denied(*, lab: Lab, status: int, reason: str, token: Any, found: Any, body: bytes) -> None:
    if found is None:
        lab.api.remove("pods", "app", "demo")
    else:
        lab.api.put("pods", found)
    if token is not None:
        lab.api.tokens["good"] = token
    code, answer = lab.ask(body, "good" if token is not None else "")
    assert (code, answer["reason"]) == (status, reason)
    assert answer["message"]
    assert answer["hint"]
    logged = lab.service.next_line("intermediate_denied")
    assert logged["reason"] == reason
    assert f'kecs_certs_denied_total{{reason="{reason}"}}'.encode() in lab.health("/metrics")[1]


@pytest.mark.parametrize(
    ("label", "annotations", "status"),
    [("enabled", {}, 200), ("disabled", {"kecs.io/aws-proxy-mode": "sidecar"}, 403)],
)
def test_a_namespace_speaks_for_its_pods(lab: Lab, label: str, annotations: dict[str, str], status: int) -> None:
    name = f"{label}-namespace"
    lab.api.put("namespaces", {"metadata": {"name": name, "labels": {"kecs.io/aws-proxy": label}}})
    lab.api.put("pods", pod(namespace=name, annotations=annotations))
    user = review()["user"] | {"username": f"system:serviceaccount:{name}:default"}
    lab.api.tokens["good"] = review(user=user)
    assert lab.ask()[0] == status


def test_a_client_that_leaves_is_no_fault_of_ours(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    with lab.connection() as connection:
        connection.connect()
        connection.sock.sendall(b"POST /v1/intermediate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    assert lab.ask()[0] == 200
    assert capfd.readouterr().err == ""


def test_a_pod_that_asks_too_often_waits(lab: Lab, tmp_path: Path) -> None:
    lab.api.tokens["other"] = review(name="other", uid="uid-other")
    lab.api.put("pods", pod("other", "uid-other"))
    with certs_service(lab.api, lab.issuer, tmp_path) as service:
        strict = Lab(lab.api, service, lab.issuer, lab.state)
        answers = [strict.ask() for _ in range(12)]
        assert [status for status, _ in answers] == [200] * 10 + [429] * 2
        assert answers[-1][1]["reason"] == "too_many"
        assert strict.ask(token="other")[0] == 200


@pytest.mark.parametrize("fault", [Fault(status=503, times=9), Fault(drop=True, times=9), Fault(status=403, times=9)])
def test_without_the_api_server_nothing_is_issued(lab: Lab, fault: Fault) -> None:
    lab.api.faults.append(fault)
    with lab.connection() as connection:
        connection.request("POST", "/v1/intermediate", body=make(KEY), headers={"Authorization": "Bearer good"})
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
        assert json.loads(response.read())["reason"] == "api_unavailable"


def test_a_rotation_is_picked_up_live(lab: Lab) -> None:
    first, old_roots = lab.state, lab.state.authority.bundle_pem
    now = datetime.now(UTC)
    prepared = prepare(first, now, SCOPE)
    assert isinstance(prepared, Step)
    switched = switch(prepared.state, now, SCOPE)
    assert isinstance(switched, Step)
    with lab.connection() as kept:
        kept.request("GET", "/v1/authority")
        assert json.loads(kept.getresponse().read())["phase"] == "stable"
        lab.become(switched.state)
        kept.request("GET", "/v1/authority")  # the connection outlives the certificate it began with
        told = json.loads(kept.getresponse().read())
    assert (told["generation"], told["phase"]) == (2, "switched")
    status, body = lab.ask(roots=old_roots)  # who knows the old root alone still reaches and verifies it
    assert status == 200
    chain = certificates(body["chain"])
    assert len(chain) == 3
    for trusted in (certificates(old_roots.decode()), certificates(lab.state.authority.bundle_pem.decode())):
        verify_served([_leaf(chain[0]), *chain], "s3.amazonaws.com", trusted, now)
    lab.api.put("pods", _trusting(first.authority.trust_sha256[0]))
    assert lab.ask()[0] == 200
    retired = retire(switched.state, now)
    assert isinstance(retired, Step)
    lab.become(retired.state)
    assert lab.ask()[0] == 200  # the cross-certificate is served on for a day


def _leaf(intermediate: x509.Certificate) -> x509.Certificate:
    from kecs.certs.authority import Signer, issue_leaf  # noqa: PLC0415 - of this helper alone

    names = (x509.DNSName("s3.amazonaws.com"),)
    return issue_leaf(Signer(certificate=intermediate, key=KEY), new_key().public_key(), names, datetime.now(UTC))


def _trusting(sha256: str) -> dict[str, Any]:
    return pod(annotations={"kecs.io/aws-proxy-mode": "sidecar", "kecs.io/trust-root-sha256": sha256})


def test_files_that_make_no_sense_are_not_taken(lab: Lab) -> None:
    before = lab.ask()[1]["issuer_sha256"]
    version = lab.issuer / "..garbage"
    version.mkdir()
    for name in ("state.json", "tls.crt", "tls.key", "ca.crt"):
        (version / name).write_bytes(b"garbage")
    link = lab.issuer / "..new"
    link.symlink_to(version.name)
    link.rename(lab.issuer / "..data")
    told = lab.service.next_line("issuer_unreadable")
    assert told["in_use"] is True
    assert lab.ask()[1]["issuer_sha256"] == before
    lab.become(lab.state)


def test_health(lab: Lab) -> None:
    assert lab.health("/livez") == (200, b"ok\n")
    assert lab.health("/readyz")[0] == 200
    assert b"kecs_certs_issued_total" in lab.health("/metrics")[1]
    assert lab.health("/nothing")[0] == 404


def test_it_starts_without_an_issuer_and_becomes_ready(tmp_path: Path) -> None:
    issuer = tmp_path / "issuer"
    issuer.mkdir()
    with api_server() as api, certs_service(api, issuer, tmp_path) as service:
        lab = Lab(api, service, issuer, new_state())
        status, body = lab.health("/readyz")
        assert status == 503
        assert b"can't be read" in body
        write_issuer(issuer, lab.state.authority)
        service.next_line("issuer_loaded")
        assert lab.health("/readyz")[0] == 200


def test_it_ends_at_once_when_told(tmp_path: Path) -> None:
    issuer = tmp_path / "issuer"
    issuer.mkdir()
    with api_server() as api, certs_service(api, issuer, tmp_path) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(15) == 0


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=st.sampled_from(["/v1/intermediate", "/v1/authority", "/", "/v1/%00", "/docs", "/openapi.json"]),
    token=TEXT,
    body=st.binary(max_size=300),
    kind=TEXT,
)
def test_whatever_is_sent_is_the_senders_fault(
    *, lab: Lab, method: str, path: str, token: str, body: bytes, kind: str
) -> None:
    with lab.connection() as connection:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind.strip()}
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        response.read()
    assert response.status < 500


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=400))
def test_bytes_that_are_no_http(lab: Lab, garbage: bytes) -> None:
    context = ssl.create_default_context(cadata=lab.state.authority.bundle_pem.decode())
    with (
        socket.create_connection(("127.0.0.1", lab.service.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=SERVICE_NAME) as tls,
    ):
        # what begins with empty lines is a request that has not begun; the server waits for the rest
        tls.sendall(garbage + b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = tls.recv(64)
    assert not answer or int(answer.split(b" ")[1]) < 500
    assert lab.health("/livez")[0] == 200
