"""The programs in the chart's jobs, as they are rendered, against an API server that is faked at the wire.

Two things are not as in a pod: the API server speaks HTTP, and the account's files are elsewhere.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from helm_lab import documents, render
from kube_lab import ApiServer, api_server

from kecs.certs.store import FileStore

SYSTEM = "kecs-system"
WEBHOOK = ("mutatingwebhookconfigurations", "kecs-injector")
RECORDS = [
    *(("secrets", name) for name in ("kecs-root", "kecs-issuer", "kecs-import", "kecs-injector-tls")),
    *(("configmaps", name) for name in ("kecs-trust", "kecs-rotation")),
    ("leases", "kecs-authority"),
]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as api:
        yield api


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """What kubelet mounts."""
    authority = FileStore(tmp_path / "authority", permitted=("svc",)).load_or_create(datetime.now(UTC))
    (tmp_path / "token").write_text("token", encoding="ascii")
    (tmp_path / "ca.crt").write_bytes(authority.bundle_pem)
    return tmp_path


def run(job: str, api: ApiServer, account: Path) -> subprocess.CompletedProcess[str]:
    (found,) = [one for one in documents(render()) if one["kind"] == "Job" and one["metadata"]["name"] == job]
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["command"][1:] == ["-c"]
    program, *arguments = container["args"]
    program = program.replace("/var/run/secrets/kubernetes.io/serviceaccount", str(account))
    program = program.replace("https://{host}", "http://{host}").replace("DEADLINE_S = 100", "DEADLINE_S = 5")
    url = urlsplit(api.url)
    environment = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    environment |= {"KUBERNETES_SERVICE_HOST": str(url.hostname), "KUBERNETES_SERVICE_PORT": str(url.port)}
    environment["POD_NAMESPACE"] = SYSTEM
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def component(name: str) -> dict[str, Any]:
    return {"metadata": {"name": f"{name}-1", "namespace": SYSTEM, "labels": {"app.kubernetes.io/name": name}}}


def test_the_webhook_goes_first_and_does_not_come_back(api: ApiServer, account: Path) -> None:
    """An injector that ends registers itself once more."""
    api.put("mutatingwebhookconfigurations", {"metadata": {"name": "kecs-injector"}})
    api.put("deployments", {"metadata": {"name": "kecs-injector", "namespace": SYSTEM}, "spec": {"replicas": 2}})
    api.put("pods", component("kecs-injector"))

    def end() -> None:
        api.wait(lambda: api.objects["deployments", SYSTEM, "kecs-injector"]["spec"]["replicas"] == 0)
        api.put("mutatingwebhookconfigurations", {"metadata": {"name": "kecs-injector"}})
        api.remove("pods", "kecs-injector-1", SYSTEM)

    injector = threading.Thread(target=end)
    injector.start()
    done = run("kecs-uninstall-webhook", api, account)
    injector.join(10)
    assert done.returncode == 0, done.stderr
    assert api.at(*WEBHOOK) is None


def test_an_injector_that_does_not_end_is_waited_for_and_named(api: ApiServer, account: Path) -> None:
    api.put("deployments", {"metadata": {"name": "kecs-injector", "namespace": SYSTEM}, "spec": {"replicas": 2}})
    api.put("pods", component("kecs-injector"))
    done = run("kecs-uninstall-webhook", api, account)
    assert done.returncode == 1
    assert "pods of kecs-injector are still there" in done.stderr


def test_nothing_there_is_no_error(api: ApiServer, account: Path) -> None:
    for job in ("kecs-uninstall-webhook", "kecs-uninstall-records"):
        done = run(job, api, account)
        assert done.returncode == 0, done.stderr


def test_the_authoritys_records_go_and_nothing_else(api: ApiServer, account: Path) -> None:
    for resource, name in [*RECORDS, ("secrets", "registry"), ("configmaps", "kube-root-ca.crt")]:
        api.put(resource, {"metadata": {"name": name, "namespace": SYSTEM}})
    done = run("kecs-uninstall-records", api, account)
    assert done.returncode == 0, done.stderr
    assert {(resource, name) for resource, _, name in api.objects} == {
        ("secrets", "registry"),
        ("configmaps", "kube-root-ca.crt"),
    }


def injecting(review: dict[str, Any]) -> dict[str, Any]:
    added = [{"name": "aws-proxy-init"}, {"name": "aws-proxy-sidecar"}]
    patch = [{"op": "add", "path": "/spec/initContainers", "value": added}]
    text = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": text}


def kubelet(api: ApiServer, phase: str) -> threading.Thread:
    """Have the test's pod end as soon as it is there."""

    def end() -> None:
        api.wait(lambda: ("pods", "kecs-test", "kecs-test") in api.objects)
        pod = api.at("pods", "kecs-test", "kecs-test")
        assert pod is not None
        api.put("pods", pod | {"status": {"phase": phase}})

    thread = threading.Thread(target=end)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("phase", "code", "sentence"),
    [
        pytest.param("Succeeded", 0, "an unmodified client was answered", id="answered"),
        pytest.param("Failed", 1, "error: the test's pod failed", id="failed"),
    ],
)
def test_the_test_runs_a_pod(api: ApiServer, account: Path, phase: str, code: int, sentence: str) -> None:
    api.admit = injecting
    api.logs["kecs-test", "kecs-test", "app"] = b"<GetCallerIdentityResult/>"
    thread = kubelet(api, phase)
    done = run("kecs-test", api, account)
    thread.join(10)
    assert done.returncode == code, done.stderr
    assert "a dry run is injected" in done.stdout
    assert sentence in done.stdout + done.stderr
    assert "GetCallerIdentityResult" in done.stdout + done.stderr
    (dry, real) = [request for request in api.requests if request.method == "POST"]
    assert dry.query["dryRun"] == "All"
    assert real.body["metadata"]["annotations"] == {"kecs.io/aws-proxy-mode": "sidecar"}


def test_the_test_says_that_nothing_was_injected(api: ApiServer, account: Path) -> None:
    done = run("kecs-test", api, account)
    assert done.returncode == 1
    assert "error: the pod was not injected: its init containers are []" in done.stderr


def test_the_test_passes_on_what_the_api_server_says(api: ApiServer, account: Path) -> None:
    api.admit = lambda review: {"uid": review["request"]["uid"], "allowed": False, "status": {"message": "no root yet"}}
    done = run("kecs-test", api, account)
    assert done.returncode == 1
    assert "admission webhook denied the request: no root yet" in done.stderr
