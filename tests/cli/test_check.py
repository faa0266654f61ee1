"""`kecs proxy check` against a fake cluster: whole, and broken in every way it has to name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from kube_lab import ApiError, ApiServer, Fault, api_server

from kecs.certs.authority import certificate_pem, issue_root
from kecs.certs.derived import trust
from kecs.certs.rotation import Scope, create
from kecs.cli.main import cli
from kecs.injector.webhook import WebhookSettings, configuration

DOCUMENT = """
images: {init: kecs-init:1, sidecar: kecs-sidecar:1}
proxy: {mode: sidecar, localstackEndpoint: "http://kecs-emulator.kecs-system.svc.cluster.local:4566"}
"""
CALLING = 'failed calling webhook "annotation.inject.kecs.io": failed to call webhook: Post "https://kecs-injector": '


@dataclass(slots=True)
class Lab:
    api: ApiServer
    kubeconfig: Path

    def check(self, *arguments: str) -> Result:
        argv = ["proxy", "check", "--kubeconfig", str(self.kubeconfig), *arguments]
        return CliRunner().invoke(cli, argv, standalone_mode=False)

    def findings(self) -> dict[str, str]:
        """Return what is not as it should be: check → message."""
        result = self.check("-o", "json")
        checks = json.loads(result.output)["checks"]
        return {
            one["name"]: f"{one['status']}: {'; '.join(found['message'] for found in one['findings'])}"
            for one in checks
            if one["status"] != "passed"
        }


def injected(review: dict[str, Any]) -> dict[str, Any]:
    import base64  # noqa: PLC0415 - of this helper alone

    patch = [{"op": "add", "path": "/spec/initContainers", "value": [{"name": "aws-proxy-sidecar"}]}]
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}


def deployment(name: str, available: int = 1) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "kecs-system"}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"availableReplicas": available}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    authority = create(Scope(permitted=("amazonaws.com",)), datetime.now(UTC)).authority
    with api_server() as api:
        api.put("namespaces", {"metadata": {"name": "demo"}})
        for name in ("kecs-authority", "kecs-certs", "kecs-injector"):
            api.put("deployments", deployment(name))
        labels = {"app.kubernetes.io/name": "kecs-certs"}
        api.put("pods", {"metadata": {"name": "kecs-certs-0", "namespace": "kecs-system", "labels": labels}})
        api.put(
            "configmaps", {"metadata": {"name": "kecs-trust", "namespace": "kecs-system"}, "data": trust(authority)}
        )
        settings = {"injector.yaml": DOCUMENT}
        api.put("configmaps", {"metadata": {"name": "kecs-injector", "namespace": "kecs-system"}, "data": settings})
        api.put("mutatingwebhookconfigurations", configuration(WebhookSettings(), authority.bundle_pem))
        api.proxied[r"/pods/kecs-certs-0:8081/proxy/readyz$"] = (200, b"{}")
        api.proxied[r"/services/kecs-emulator:4566/proxy/_localstack/health$"] = (200, b"{}")
        api.admit = injected
        yield Lab(api, api.kubeconfig(tmp_path))


def test_all_is_well(lab: Lab) -> None:
    result = lab.check()
    assert result.return_value == 0, result.output
    assert result.output.endswith("18 passed\n")
    assert "√ a dry run is injected" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert not [one for one in lab.api.objects if one[0] == "pods" and one[2].startswith("kecs-check")]


def answering(message: str, status: int = 500) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def admit(_review: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(status, "InternalError", message)

    return admit


def set_admit(message: str, status: int = 500) -> Callable[[ApiServer], None]:
    return lambda api: setattr(api, "admit", answering(message, status))


def roots(pem: bytes) -> Callable[[ApiServer], None]:
    data = {"ca.crt": pem.decode(), "phase": "stable", "generation": "1"}
    return lambda api: void(
        api.put("configmaps", {"metadata": {"name": "kecs-trust", "namespace": "kecs-system"}, "data": data})
    )


def void(_value: object) -> None:
    """Throw a result away."""


def old_root(*, days: int, age: int) -> bytes:
    made = issue_root(
        datetime.now(UTC) - timedelta(days=age), permitted=("amazonaws.com",), lifetime=timedelta(days=days)
    )
    return certificate_pem(made.certificate)


def with_pod(**changes: Any) -> Callable[[ApiServer], None]:
    pod = {
        "metadata": {"name": "app", "namespace": "demo"},
        "spec": {
            "containers": [{"name": "app", "image": "app", "env": [{"name": "AWS_REGION", "value": "eu-west-1"}]}]
        },
        "status": {"phase": "Running"},
    }
    return lambda api: void(api.put("pods", pod | changes))


SIDECAR = {"initContainers": [{"name": "aws-proxy-sidecar"}], "containers": [{"name": "app"}]}


@pytest.mark.parametrize(
    ("breaks", "name", "said"),
    [
        pytest.param(
            lambda api: api.version.update(minor="27", gitVersion="v1.27.4"),
            "kubernetes-version",
            "failed: the API server is v1.27.4",
            id="too old",
        ),
        pytest.param(
            lambda api: setattr(api, "date", lambda: datetime.now(UTC).timestamp() - 3600),
            "clock-skew",
            "failed: this machine's clock",
            id="clocks apart",
        ),
        pytest.param(
            lambda api: api.remove("deployments", "kecs-authority", "kecs-system"),
            "authority-running",
            "failed: there is no Deployment kecs-authority",
            id="no authority",
        ),
        pytest.param(
            lambda api: void(api.put("deployments", deployment("kecs-injector", 0))),
            "injector-running",
            "failed: none of 1 replicas",
            id="injector down",
        ),
        pytest.param(
            lambda api: api.remove("configmaps", "kecs-trust", "kecs-system"),
            "trust-published",
            "failed: there is no ConfigMap kecs-trust",
            id="no roots",
        ),
        pytest.param(
            roots(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            "trust-published",
            "failed: the roots",
            id="a key among the roots",
        ),
        pytest.param(roots(old_root(days=10, age=20)), "root-validity", "failed: root", id="an expired root"),
        pytest.param(
            roots(old_root(days=3650, age=1)),
            "webhook-ca-bundle",
            "failed: the webhook's caBundle lacks",
            id="a foreign caBundle",
        ),
        pytest.param(
            lambda api: (
                api.proxied.update({r"readyz$": (503, b"no issuer")})
                or api.proxied.pop(r"/pods/kecs-certs-0:8081/proxy/readyz$")
            ),
            "certs-healthy",
            "failed: the certificate service is not healthy: HTTP 503",
            id="certs not ready",
        ),
        pytest.param(
            lambda api: api.remove("mutatingwebhookconfigurations", "kecs-injector"),
            "webhook-registered",
            "failed: there is no MutatingWebhookConfiguration",
            id="no webhook",
        ),
        pytest.param(
            set_admit(CALLING + "x509: certificate signed by unknown authority"),
            "webhook-reachable",
            "failed: the API server does not trust the injector",
            id="distrusted",
        ),
        pytest.param(
            set_admit(CALLING + "context deadline exceeded"),
            "webhook-reachable",
            "failed: the injector did not answer in time",
            id="a firewall",
        ),
        pytest.param(
            set_admit('pods "kecs-check" is forbidden: violates PodSecurity "baseline:latest"', 403),
            "webhook-reachable",
            "failed: the namespace's Pod Security level",
            id="Pod Security",
        ),
        pytest.param(
            set_admit('namespaces "default" not found', 404),
            "webhook-reachable",
            "failed: there is no such namespace",
            id="no such namespace",
        ),
        pytest.param(
            set_admit('pods is forbidden: User "dev" cannot create resource "pods" in API group ""', 403),
            "webhook-reachable",
            "unknown: this account may not create pods",
            id="no permission to create pods",
        ),
        pytest.param(
            lambda api: api.faults.append(
                Fault(path="configmaps/kecs-injector", status=403, times=99, message="configmaps is forbidden")
            ),
            "emulator-healthy",
            "unknown: configmaps is forbidden",
            id="no permission to read the settings",
        ),
        pytest.param(
            lambda api: setattr(api, "admit", None),
            "webhook-reachable",
            "failed: a pod that asks for the sidecar was let through",
            id="let through",
        ),
        pytest.param(
            lambda api: api.proxied.pop(r"/services/kecs-emulator:4566/proxy/_localstack/health$"),
            "emulator-healthy",
            "failed: the emulator is not healthy: HTTP 503 no endpoints",
            id="emulator away",
        ),
        pytest.param(
            with_pod(), "pods-uninjected", "warning: 1 pods look like users of AWS", id="an uninjected user of AWS"
        ),
        pytest.param(
            with_pod(
                spec=SIDECAR,
                metadata={"name": "app", "namespace": "demo", "annotations": {"kecs.io/trust-root-sha256": "00"}},
            ),
            "pods-trust",
            "failed: 1 pods trust none of the roots",
            id="a pod on a lost root",
        ),
        pytest.param(
            lambda api: api.faults.append(
                Fault(path=r"^/api/v1/pods\?", status=403, times=99, message="pods is forbidden")
            ),
            "pods-trust",
            "unknown: pods is forbidden",
            id="no permission",
        ),
    ],
)
def test_what_is_broken_is_named(lab: Lab, breaks: Callable[[ApiServer], Any], name: str, said: str) -> None:
    breaks(lab.api)
    findings = lab.findings()
    assert findings[name].startswith(said), findings
    result = lab.check()
    assert result.return_value == (1 if any(one.startswith("failed") for one in findings.values()) else 0)
    assert f"see docs/checks.md#{name}" in result.output


def test_no_api_server(lab: Lab) -> None:
    lab.kubeconfig.write_text(lab.kubeconfig.read_text().replace(lab.api.url, "http://127.0.0.1:1"))
    result = lab.check()
    assert result.return_value == 1
    assert "the API server does not answer" in result.output


def test_it_waits_until_nothing_fails(lab: Lab) -> None:
    lab.api.faults.append(Fault(path="deployments", status=503, times=1, method="GET"))
    lab.api.put("deployments", deployment("kecs-certs", 0))

    def mended(_review: dict[str, Any]) -> dict[str, Any]:
        lab.api.put("deployments", deployment("kecs-certs"))
        return injected(_review)

    lab.api.admit = mended
    assert lab.check("--wait", "1m").return_value == 0


def test_without_unicode_it_is_readable(lab: Lab) -> None:
    argv = ["proxy", "check", "--kubeconfig", str(lab.kubeconfig)]
    result = CliRunner(charset="ascii").invoke(cli, argv, standalone_mode=False)
    assert "ok   the API server answers" in result.output


def test_as_yaml_and_json_it_says_the_same(lab: Lab) -> None:
    assert yaml.safe_load(lab.check("-o", "yaml").output) == json.loads(lab.check("-o", "json").output)


def test_no_finding_is_wider_than_a_terminal(lab: Lab) -> None:
    lab.api.admit = answering(CALLING + "tls: failed to verify: x509: certificate signed by unknown authority")
    lab.api.remove("mutatingwebhookconfigurations", "kecs-injector")
    assert max(map(len, lab.check().output.splitlines())) <= 80


@pytest.mark.parametrize("text", ["soon", "", "5x", "-1m"])
def test_a_wait_that_is_no_duration(lab: Lab, text: str) -> None:
    result = lab.check("--wait", text)
    assert "is no duration, e.g. 45s, 10m or 1h30m" in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 2
