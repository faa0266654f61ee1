"""A pod's sidecar as a process: its intermediate comes from the service's process, and goes on without it."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certs_lab import stepped
from certs_service_lab import SCOPE, SERVICE_NAME, new_state, review, write_issuer
from identity_lab import AWS, CERTS_PORT, S3, PodLab, called, pod_lab
from kube_lab import Fault

from kecs.certs.authority import certificate_pem
from kecs.certs.outcome import State
from kecs.certs.rotation import prepare, retire, switch
from kecs.core.names import ADMIN_PORT, PROBE_PORT

PATIENCE_S = 30


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[PodLab]:
    with pod_lab(tmp_path) as found:
        yield found


def test_a_client_that_trusts_the_root_reaches_the_backend(lab: PodLab) -> None:
    with lab.service(), lab.sidecar() as sidecar:
        told = sidecar.next_line("certificate_issued")
        with lab.tls(lab.state.authority.bundle_pem) as tls:
            assert called(tls) == 200
        assert lab.got[0].fields["host"] == S3
        assert sidecar.probe("/readyz")[0] == 200
        certs = sidecar.certs()
        metrics = sidecar.ask("/metrics")[1]
    assert told["generation"] == certs["generation"] == 1
    assert told["issuer_sha256"] == certs["issuer_sha256"] == lab.state.authority.issuer_sha256
    assert 86_000 < told["seconds_left"] <= 86_400
    assert certs["subject"] == "CN=KECS pod demo/app,O=KECS"
    assert certs["last_error"] is None
    ends = datetime.fromisoformat(told["not_after"]).timestamp()
    samples = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(samples["kecs_sidecar_certificate_not_after_seconds"]) == ends
    assert samples['kecs_sidecar_certificate_renewals_total{result="issued"}'] == "1.0"


def test_until_the_first_certificate_aws_is_refused_and_the_rest_passes(lab: PodLab) -> None:
    with socket.create_server((AWS, 443)) as world, lab.sidecar() as sidecar:
        assert sidecar.next_line("certificate_renewal_failed")["reason"] == "service_unreachable"
        status, checks = sidecar.probe("/readyz")
        why = json.loads(checks)["checks"]["certificate"]["reason"]
        assert (status, why.partition(":")[0]) == (503, "there is no intermediate yet")
        assert f"https://{SERVICE_NAME}:{CERTS_PORT} does not answer: connection refused" in why
        assert sidecar.probe("/livez") == (200, "alive\n")
        certs = sidecar.certs()
        assert (certs["not_after"], certs["last_error"]["reason"]) == (None, "service_unreachable")
        assert "certificate_not_after" not in sidecar.ask("/metrics")[1]
        with pytest.raises(ConnectionResetError):
            lab.tls(lab.state.authority.bundle_pem)
        refused = sidecar.next_line("refused")
        assert (refused["host"], refused["reason"]) == (S3, "no_certificate")
        world.settimeout(0)
        with pytest.raises(BlockingIOError):  # it was not passed: nobody came
            world.accept()
        world.settimeout(PATIENCE_S)
        with lab.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            passed, _ = world.accept()
            with passed:
                assert passed.recv(100).startswith(b"GET / ")
        with lab.service():
            sidecar.next_line("certificate_issued")
            with lab.tls(lab.state.authority.bundle_pem) as tls:
                assert called(tls) == 200
            assert sidecar.probe("/readyz")[0] == 200


def test_the_probe_port_has_health_alone(lab: PodLab) -> None:
    with lab.service(), lab.sidecar() as sidecar:
        sidecar.next_line("certificate_issued")
        wanted = {"/livez": 200, "/readyz": 200, "/metrics": 404, "/certs": 404, "/": 404, "/readyz/x": 404}
        assert {path: sidecar.probe(path)[0] for path in wanted} == wanted
        assert {path: sidecar.ask(path)[0] for path in ("/metrics", "/certs")} == {"/metrics": 200, "/certs": 200}
        with closing(http.client.HTTPConnection("127.0.0.2", PROBE_PORT, timeout=PATIENCE_S)) as asking:
            asking.request("POST", "/livez", body=b"x")
            assert asking.getresponse().status == 405
        for host, port in (("127.0.0.2", ADMIN_PORT), ("127.0.0.1", PROBE_PORT)):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, port), timeout=PATIENCE_S)


def test_a_rotation_is_picked_up_and_loses_no_connection(lab: PodLab) -> None:
    old_roots = lab.state.authority.bundle_pem
    with lab.service() as service, lab.sidecar() as sidecar:
        sidecar.next_line("certificate_issued")
        with lab.tls(old_roots) as kept:
            assert called(kept) == 200
            now = datetime.now(UTC)
            lab.become(stepped(prepare(lab.state, now, SCOPE)), service)
            assert called(kept) == 200
            lab.become(stepped(switch(lab.state, now, SCOPE)), service)
            told = sidecar.next_line("certificate_issued")
            assert (told["generation"], told["issuer_sha256"]) == (2, lab.state.authority.issuer_sha256)
            assert called(kept) == 200  # it was made with a leaf of the first generation
            new_root = certificate_pem(lab.state.authority.root)
            for roots in (old_roots, new_root, lab.state.authority.bundle_pem):
                with lab.tls(roots) as tls:
                    assert called(tls) == 200
            lab.become(stepped(retire(lab.state, now)), service)
            with lab.tls(old_roots) as tls:
                assert called(tls) == 200
            assert called(kept) == 200
        assert sidecar.certs()["generation"] == 2
        assert sidecar.untold("certificate_renewal_failed") == []


@contextmanager
def calling(lab: PodLab, roots: bytes) -> Iterator[list[int | Exception]]:
    """Make new connections, one after the other, all the time."""
    found, over = list[int | Exception](), threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                with lab.tls(roots) as tls:
                    found.append(called(tls))
            except OSError as error:
                found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join(PATIENCE_S)


def test_a_rotation_loses_no_new_connection(lab: PodLab) -> None:
    with lab.service() as service, lab.sidecar() as sidecar:
        sidecar.next_line("certificate_issued")
        now = datetime.now(UTC)
        with calling(lab, lab.state.authority.bundle_pem) as found:
            lab.become(stepped(prepare(lab.state, now, SCOPE)), service)
            lab.become(stepped(switch(lab.state, now, SCOPE)), service)
            assert sidecar.next_line("certificate_issued")["generation"] == 2
            lab.become(stepped(retire(lab.state, now)), service)
            before = len(found)
            lab.api.wait(lambda: len(found) > before + 20)
    assert len(found) > 50
    assert set(found) == {200}


def test_it_serves_on_while_the_service_is_away(lab: PodLab) -> None:
    roots = lab.state.authority.bundle_pem
    with lab.sidecar() as sidecar:
        with lab.service() as service:
            first = sidecar.next_line("certificate_issued")
            service.process.kill()
            service.process.wait(PATIENCE_S)
            told = sidecar.next_line("certificate_poll_failed")
            assert told["reason"] == "service_unreachable"
            with lab.tls(roots) as tls:
                assert called(tls) == 200
            assert sidecar.probe("/readyz")[0] == 200
            assert sidecar.certs()["last_error"]["during"] == "poll"
        now = datetime.now(UTC)
        write_issuer(lab.issuer, switched(lab.state, now).authority)
        with lab.service():
            second = sidecar.next_line("certificate_issued")
            assert (first["generation"], second["generation"]) == (1, 2)
            with lab.tls(roots) as tls:
                assert called(tls) == 200
            assert sidecar.certs()["last_error"] is None


def switched(state: State, now: datetime) -> State:
    return stepped(switch(stepped(prepare(state, now, SCOPE)), now, SCOPE))


def test_without_the_api_server_it_asks_again_and_says_so_once(lab: PodLab) -> None:
    lab.api.faults.append(Fault(path="tokenreviews", status=503, times=2))
    with lab.service(), lab.sidecar() as sidecar:
        told = sidecar.next_line("certificate_renewal_failed")
        assert (told["reason"], told["hint"], told["seconds_left"]) == ("api_unavailable", "try again", 0)
        sidecar.next_line("certificate_issued")
        assert [line["event"] for line in sidecar.lines] == ["certificate_renewal_failed", "certificate_issued"]
        metrics = sidecar.ask("/metrics")[1]
    assert 'kecs_sidecar_certificate_renewals_total{result="api_unavailable"}' in metrics


def test_what_the_service_says_is_what_is_logged(lab: PodLab) -> None:
    lab.api.remove("pods", "app", "demo")
    with lab.service(), lab.sidecar() as sidecar:
        told = sidecar.next_line("certificate_renewal_failed")
        assert told["reason"] == "no_pod"
        assert told["message"] == "the certificate service answered 403: there is no such pod"
        assert told["message"] in sidecar.probe("/readyz")[1]


def test_the_token_is_read_anew_each_time(lab: PodLab) -> None:
    lab.token.unlink()
    with lab.service() as service, lab.sidecar() as sidecar:
        told = sidecar.next_line("certificate_renewal_failed")
        assert told["reason"] == "token_unreadable"
        assert f"{lab.token} can't be read: No such file" in told["message"]
        lab.token.write_text("forged\n", encoding="ascii")
        assert sidecar.next_line("certificate_renewal_failed")["reason"] == "token_refused"
        lab.token.write_text("good\n", encoding="ascii")
        sidecar.next_line("certificate_issued")
        lab.api.tokens["fresh"] = lab.api.tokens.pop("good")
        lab.token.write_text("fresh", encoding="ascii")
        lab.become(switched(lab.state, datetime.now(UTC)), service)
        assert sidecar.next_line("certificate_issued")["generation"] == 2
        rest = "".join(json.dumps(line) for line in sidecar.lines)
    assert "fresh" not in rest
    assert "forged" not in rest


def test_a_service_of_another_authority_is_not_believed(lab: PodLab) -> None:
    """The authority was lost and made anew: this pod's clients trust the first one's root alone."""
    roots = lab.state.authority.bundle_pem
    with lab.service() as service, lab.sidecar() as sidecar:
        sidecar.next_line("certificate_issued")
        lab.become(new_state(), service)
        told = sidecar.next_line("certificate_poll_failed")
        assert told["reason"] == "service_untrusted"
        assert "restart the pod" in told["hint"]
        with lab.tls(roots) as tls:
            assert called(tls) == 200
        assert sidecar.certs()["generation"] == 1
        lab.trust.write_bytes(lab.state.authority.bundle_pem)  # as no init container does while a pod lives
        sidecar.next_line("certificate_issued")
        with lab.tls(lab.state.authority.bundle_pem) as tls:
            assert called(tls) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            lab.tls(roots)


def test_roots_that_can_not_be_read_stop_nothing(lab: PodLab) -> None:
    with lab.service(), lab.sidecar() as sidecar:
        sidecar.next_line("certificate_issued")
        lab.trust.unlink()
        assert sidecar.next_line("certificate_poll_failed")["reason"] == "trust_unreadable"
        with lab.tls(lab.state.authority.bundle_pem) as tls:
            assert called(tls) == 200


@contextmanager
def silent() -> Iterator[threading.Event]:
    """Listen where the service would, accept, and never say a word; the event is set when somebody came."""
    came, held = threading.Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", CERTS_PORT)) as listener:

        def accept() -> None:
            held.append(listener.accept()[0])
            came.set()

        thread = threading.Thread(target=accept)
        thread.start()
        yield came
        thread.join(PATIENCE_S)
        for one in held:
            one.close()


def test_it_ends_at_once_though_the_service_hangs(lab: PodLab) -> None:
    with silent() as came, lab.sidecar() as sidecar:
        assert came.wait(PATIENCE_S)
        assert sidecar.ask("/livez")[0] == 200
        sidecar.process.terminate()
        assert sidecar.process.wait(4) == 0


def test_another_pods_token_names_no_other_pod(lab: PodLab) -> None:
    lab.api.tokens["good"] = review(name="other", uid="uid-other")
    with lab.service(), lab.sidecar() as sidecar:
        assert sidecar.next_line("certificate_renewal_failed")["reason"] == "no_pod"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"KECS_SIDECAR_CERTS_URL": "http://kecs-certs"}, "is not the address of the certificate service"),
        ({"KECS_SIDECAR_CHAIN_FILE": "/c.pem"}, "KECS_SIDECAR_CERTS_URL and KECS_SIDECAR_CHAIN_FILE are both set"),
        ({"KECS_SIDECAR_POLL_S": "often"}, "KECS_SIDECAR_POLL_S 'often' is no number of seconds"),
        ({"KECS_SIDECAR_PROBE_PORT": "0"}, "KECS_SIDECAR_PROBE_PORT '0' is no port"),
        ({"KECS_SIDECAR_PROBE_HOST": "192.0.2.1"}, "port 14581 of 192.0.2.1 can't be listened on"),
    ],
)
def test_what_is_wrong_is_one_line(lab: PodLab, change: dict[str, str], says: str) -> None:
    code, said = lab.refused(**change)
    assert code in {1, 2}
    assert said.startswith("error: ")
    assert says in said.splitlines()[0]
