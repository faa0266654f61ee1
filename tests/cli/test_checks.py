"""The checks as values: one healthy cluster, and every way in which it can be broken."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kecs.certs.authority import certificate_pem, issue_root
from kecs.certs.bundle import fingerprint
from kecs.cli.checks import CHECKS, run
from kecs.cli.observed import Answer, Observed, Status
from kecs.injector.webhook import WebhookSettings, configuration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DOMAINS = ("amazonaws.com",)


def root(*, days: int = 3650, age: int = 1) -> x509.Certificate:
    return issue_root(NOW - timedelta(days=age), permitted=DOMAINS, lifetime=timedelta(days=days)).certificate


ROOT, OTHER = root(), root()


DEPLOYMENTS = ("kecs-authority", "kecs-certs", "kecs-injector")


def deployments(**available: int) -> dict[str, Any]:
    """Name those that differ by the end of their name."""
    return {name: deployment(available.get(name.removeprefix("kecs-"), 2)) for name in DEPLOYMENTS}


def deployment(available: int = 2) -> dict[str, Any]:
    return {"spec": {"replicas": 2}, "status": {"availableReplicas": available}}


def pod(name: str, *, trusts: str = "", sidecar: bool = True, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "demo", "annotations": {"kecs.io/trust-root-sha256": trusts}},
        "spec": {"initContainers": [{"name": "aws-proxy-sidecar"}] if sidecar else [], "containers": [{"name": "app"}]},
        "status": {"phase": "Running", **status},
    }


def healthy() -> Observed:
    return Observed(
        now=NOW,
        namespace="kecs-system",
        version=Answer(status=200, body={"major": "1", "minor": "34", "gitVersion": "v1.34.1"}),
        server_time=NOW,
        deployments=deployments(),
        webhook=configuration(WebhookSettings(), certificate_pem(ROOT)),
        trust={"ca.crt": certificate_pem(ROOT).decode(), "phase": "stable"},
        roots=(ROOT,),
        pods=[pod("good", trusts=fingerprint(ROOT)), pod("plain", sidecar=False)],
        namespaces={},
        dry_run=Answer(status=201, body={"spec": {"initContainers": [{"name": "aws-proxy-sidecar"}]}}),
        backend=Answer(status=200),
        certs=Answer(status=200),
    )


def test_a_healthy_cluster_passes_everything() -> None:
    results = run(healthy())
    assert [result.check.name for result in results if result.status is not Status.PASSED] == []
    assert {check.name for check in CHECKS} - {result.check.name for result in results} == {"leak-probe"}


def changed(**values: Any) -> Callable[[], Observed]:
    return lambda: dataclasses.replace(healthy(), **values)


def webhook(**changes: Any) -> dict[str, Any]:
    found = configuration(WebhookSettings(), certificate_pem(ROOT))
    for one in found["webhooks"]:
        one.update(changes)
    return found


def refusal(message: str) -> Answer:
    return Answer(status=500, message=message)


CALL = 'failed calling webhook "pod.inject.kecs.io": failed to call webhook: Post "https://kecs-injector.own.svc": '
WAITING: dict[str, Any] = {
    "initContainerStatuses": [
        {
            "name": "aws-proxy-init",
            "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "runAsUser breaks"}},
        }
    ]
}
RESTARTED: dict[str, Any] = {
    "initContainerStatuses": [{"name": "aws-proxy-sidecar", "restartCount": 9, "state": {"running": {}}}]
}


@pytest.mark.parametrize(
    ("broken", "name", "status", "said"),
    [
        pytest.param(
            changed(version=Answer(status=0, message="connection refused")),
            "api-server",
            Status.FAILED,
            "connection refused",
            id="no API server",
        ),
        pytest.param(
            changed(version=Answer(status=200, body={"major": "1", "minor": "28+", "gitVersion": "v1.28.3"})),
            "kubernetes-version",
            Status.FAILED,
            "v1.28.3",
            id="too old",
        ),
        pytest.param(
            changed(version=Answer(status=200, body={})),
            "kubernetes-version",
            Status.WARNING,
            "can't be read",
            id="a version that is none",
        ),
        pytest.param(
            changed(server_time=NOW - timedelta(minutes=9)),
            "clock-skew",
            Status.FAILED,
            "540 s apart",
            id="clocks far apart",
        ),
        pytest.param(
            changed(server_time=NOW + timedelta(seconds=40)),
            "clock-skew",
            Status.WARNING,
            "40 s apart",
            id="clocks apart",
        ),
        pytest.param(
            changed(deployments={}),
            "authority-running",
            Status.FAILED,
            "no Deployment kecs-authority",
            id="nothing installed",
        ),
        pytest.param(
            changed(deployments=deployments(certs=0)),
            "certs-running",
            Status.FAILED,
            "none of 2 replicas of kecs-certs",
            id="no certificate service",
        ),
        pytest.param(
            changed(deployments=deployments(injector=1)),
            "injector-running",
            Status.WARNING,
            "1 of 2",
            id="one injector of two",
        ),
        pytest.param(
            changed(trust={}, roots=()), "trust-published", Status.FAILED, "no ConfigMap kecs-trust", id="no roots"
        ),
        pytest.param(
            changed(roots=(), roots_error="block 1 is a PRIVATE KEY"),
            "trust-published",
            Status.FAILED,
            "PRIVATE KEY",
            id="a key among the roots",
        ),
        pytest.param(
            changed(roots=(ROOT, root(days=10, age=30))),
            "root-validity",
            Status.FAILED,
            "expired on 2026-11-01",
            id="an expired root",
        ),
        pytest.param(
            changed(roots=(ROOT, root(days=40, age=10))),
            "root-validity",
            Status.WARNING,
            "expires in 30 days",
            id="a root near its end",
        ),
        pytest.param(
            changed(trust={"phase": "switched", "since": "2026-11-01T00:00:00+00:00"}),
            "rotation",
            Status.WARNING,
            "switched since 2026-11-01",
            id="a forgotten rotation",
        ),
        pytest.param(
            changed(certs=Answer(status=503, message="no issuer")),
            "certs-healthy",
            Status.FAILED,
            "HTTP 503 no issuer",
            id="certs not ready",
        ),
        pytest.param(
            changed(webhook={}), "webhook-registered", Status.FAILED, "no MutatingWebhookConfiguration", id="no webhook"
        ),
        pytest.param(
            changed(webhook=configuration(WebhookSettings(), certificate_pem(OTHER))),
            "webhook-ca-bundle",
            Status.FAILED,
            "caBundle lacks",
            id="a caBundle of another authority",
        ),
        pytest.param(
            changed(webhook=configuration(WebhookSettings(), b"garbage")),
            "webhook-ca-bundle",
            Status.FAILED,
            "caBundle lacks",
            id="a garbage caBundle",
        ),
        pytest.param(
            changed(webhook=webhook(failurePolicy="Ignore")),
            "webhook-fails-closed",
            Status.WARNING,
            "reach real AWS",
            id="failing open",
        ),
        pytest.param(
            changed(
                dry_run=refusal(
                    CALL + "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                )
            ),
            "webhook-reachable",
            Status.FAILED,
            "does not trust",
            id="distrusted injector",
        ),
        pytest.param(
            changed(dry_run=refusal(CALL + "dial tcp 10.96.0.7:443: connect: connection refused")),
            "webhook-reachable",
            Status.FAILED,
            "no injector listens",
            id="no endpoint",
        ),
        pytest.param(
            changed(dry_run=refusal(CALL + "context deadline exceeded")),
            "webhook-reachable",
            Status.FAILED,
            "did not answer in time",
            id="a firewall",
        ),
        pytest.param(
            changed(dry_run=refusal(CALL + 'service "kecs-injector" not found')),
            "webhook-reachable",
            Status.FAILED,
            "Service is gone",
            id="no Service",
        ),
        pytest.param(
            changed(
                dry_run=refusal(
                    "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block"
                )
            ),
            "webhook-reachable",
            Status.FAILED,
            "no certificate",
            id="garbage seen by the API server",
        ),
        pytest.param(
            changed(
                dry_run=Answer(status=403, message='pods "p" is forbidden: violates PodSecurity "restricted:latest"')
            ),
            "webhook-reachable",
            Status.FAILED,
            "Pod Security",
            id="a restricted namespace",
        ),
        pytest.param(
            changed(dry_run=Answer(status=403, message="exceeded quota: q")),
            "webhook-reachable",
            Status.FAILED,
            "quota",
            id="a full quota",
        ),
        pytest.param(
            changed(dry_run=Answer(status=201, body={"spec": {}})),
            "webhook-reachable",
            Status.FAILED,
            "let through without it",
            id="a pod that gets out",
        ),
        pytest.param(
            changed(dry_run=Answer(status=418, message="teapot")),
            "webhook-reachable",
            Status.FAILED,
            "418: teapot",
            id="an answer nobody knows",
        ),
        pytest.param(
            changed(backend=Answer(status=0, message="no route")),
            "emulator-healthy",
            Status.FAILED,
            "no route",
            id="no emulator",
        ),
        pytest.param(
            changed(pods=[pod("p", trusts=fingerprint(ROOT), **WAITING)]),
            "pods-sidecar",
            Status.FAILED,
            "CreateContainerConfigError runAsUser breaks",
            id="an init container that can't start",
        ),
        pytest.param(
            changed(pods=[pod("p", trusts=fingerprint(ROOT), **RESTARTED)]),
            "pods-sidecar",
            Status.WARNING,
            "restarted 9 times",
            id="a sidecar that keeps dying",
        ),
        pytest.param(
            changed(pods=[pod("p", trusts=fingerprint(OTHER))]),
            "pods-trust",
            Status.FAILED,
            "1 pods trust none",
            id="a pod on a lost root",
        ),
        pytest.param(
            changed(roots=(OTHER, ROOT), webhook=configuration(WebhookSettings(), certificate_pem(ROOT, OTHER))),
            "pods-trust",
            Status.WARNING,
            "demo/good",
            id="a pod on the old root",
        ),
        pytest.param(
            changed(looks_like_aws=lambda _pod: ("AWS_REGION is set",)),
            "pods-uninjected",
            Status.WARNING,
            "demo/plain (AWS_REGION is set)",
            id="a user of AWS without the sidecar",
        ),
        pytest.param(
            changed(leak=Answer(status=200, body={"UDP 443": "sent", "TCP 443": "held"})),
            "leak-probe",
            Status.FAILED,
            "UDP 443 got out",
            id="a leak",
        ),
        pytest.param(
            changed(unread={"pods": "pods is forbidden"}, pods=None),
            "pods-trust",
            Status.UNKNOWN,
            "pods is forbidden",
            id="no permission",
        ),
    ],
)
def test_what_is_broken_is_named(broken: Callable[[], Observed], name: str, status: Status, said: str) -> None:
    result = next(one for one in run(broken()) if one.check.name == name)
    assert result.status is status
    assert said in " ".join(finding.message for finding in result.findings)
    assert all(finding.hint for finding in result.findings)


def test_a_fatal_failure_ends_the_list() -> None:
    assert [one.check.name for one in run(changed(version=Answer(status=0))())] == ["api-server"]


def test_names_are_unique_anchors() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


def test_pods_that_have_ended_or_are_ending_are_not_looked_at() -> None:
    ended = pod("done", trusts="x") | {"status": {"phase": "Succeeded"}}
    ending = pod("going", trusts="x")
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    results = run(changed(pods=[ended, ending])())
    assert next(one for one in results if one.check.name == "pods-trust").status is Status.PASSED


def test_every_check_has_its_place_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    headings = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert headings == [check.name for check in CHECKS]
