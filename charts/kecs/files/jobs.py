"""What the chart's jobs do, by the standard library and the pod's own account: `python -c PROGRAM JOB`.

webhook   before an uninstall: take the webhook away, and the injector that would register it again
records   after an uninstall: take away what the authority made
test      `helm test`: a dry run is injected, and a pod with an ordinary HTTPS client is answered
"""

# ruff: noqa: INP001, T201 - a program, rendered into a pod's arguments; what it prints is the pod's log

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE = os.environ["POD_NAMESPACE"]
DEADLINE_S = 100

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/kecs-injector"
INJECTOR = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/kecs-injector"
RECORDS = (
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-root",
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-issuer",
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-import",
    f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-injector-tls",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps/kecs-trust",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps/kecs-rotation",
    f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/kecs-authority",
)
TEST_NAMESPACE = "kecs-test"
TEST_PODS = f"/api/v1/namespaces/{TEST_NAMESPACE}/pods"
# It knows nothing of KECS, and verifies certificates.
TEST_PROGRAM = """
import urllib.request
url = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0"
request = urllib.request.Request(url, headers={"Authorization": scope})
with urllib.request.urlopen(request, timeout=30) as response:
    body = response.read().decode()
assert "GetCallerIdentityResult" in body, body
print(body)
"""


class StoppedError(Exception):
    """What stands in the way, in a sentence."""


def call(method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
    """Return the object, or the text, that the API server answers; None for what is not there."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://[{host}]:{port}{path}" if ":" in host else f"https://{host}:{port}{path}"
    token = (ACCOUNT / "token").read_text(encoding="ascii")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - spelled above
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as response:  # noqa: S310 - the same
            text = response.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        raise StoppedError(f"{method} {path}: {error.code} {_message(error.read().decode())}") from error
    return json.loads(text) if text.startswith("{") else text


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


def wait(what: str, found: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    end = time.monotonic() + DEADLINE_S
    while not (answer := found()):
        if time.monotonic() > end:
            raise StoppedError(f"waited {DEADLINE_S} s: {what}")
        time.sleep(0.5)
    return answer


def is_gone(component: str) -> bool:
    """Say whether no pod of a component is left: one that is ending still writes."""
    selector = f"labelSelector=app.kubernetes.io/name={component}"
    return not call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}")["items"]


def remove(path: str) -> None:
    """Delete an object, if it is there."""
    was_there = call("DELETE", path) is not None
    print(f"{path.rpartition('/')[2]}: {'removed' if was_there else 'was not there'}", flush=True)


def remove_webhook() -> None:
    """Take the webhook away twice: before the injector ends, so that no pod is held up, and what it wrote meanwhile."""
    remove(WEBHOOK)
    call("PATCH", f"{INJECTOR}/scale", {"spec": {"replicas": 0}}, "application/merge-patch+json")
    wait("pods of kecs-injector are still there", lambda: is_gone("kecs-injector"))
    remove(WEBHOOK)


def remove_records() -> None:
    """Take away what the authority made, once it can make nothing more."""
    wait("pods of kecs-authority are still there", lambda: is_gone("kecs-authority"))
    for path in RECORDS:
        remove(path)


def _test_pod(name: str) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": os.environ["TEST_IMAGE"],
        "imagePullPolicy": os.environ["TEST_PULL_POLICY"],
        "command": ["/usr/local/bin/python3", "-c", TEST_PROGRAM],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": secret} for secret in os.environ["TEST_PULL_SECRETS"].split()],
        "containers": [container],
    }
    annotations = {"kecs.io/aws-proxy-mode": "sidecar"}
    metadata = {"name": name, "namespace": TEST_NAMESPACE, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _create(name: str, query: str = "") -> None:
    """Create a pod, and see that it was injected. The account of a new namespace comes a moment after it."""

    def created() -> Any:
        try:
            return call("POST", f"{TEST_PODS}{query}", _test_pod(name))
        except StoppedError as error:
            if "service account" not in str(error):
                raise
            return None

    found = wait("the namespace has no service account", created)
    names = [container["name"] for container in found["spec"].get("initContainers", [])]
    if names[:2] != ["aws-proxy-init", "aws-proxy-sidecar"]:
        raise StoppedError(f"the pod was not injected: its init containers are {names}")


def _ended(name: str) -> Any:
    found = call("GET", f"{TEST_PODS}/{name}") or {}
    return found if found.get("status", {}).get("phase") in {"Succeeded", "Failed"} else None


def test() -> None:
    """Have a dry run injected, then a pod answered."""
    _create("kecs-test-dry", "?dryRun=All")
    print("a dry run is injected", flush=True)
    call("DELETE", f"{TEST_PODS}/kecs-test?gracePeriodSeconds=0")
    wait("the pod of the last test is still there", lambda: call("GET", f"{TEST_PODS}/kecs-test") is None)
    _create("kecs-test")
    hint = "the test's pod has not ended: kubectl -n kecs-test describe pod kecs-test"
    found = wait(hint, lambda: _ended("kecs-test"))
    log = call("GET", f"{TEST_PODS}/kecs-test/log?container=app")
    if found["status"]["phase"] == "Failed":
        raise StoppedError(f"the test's pod failed:\n{log}")
    print(f"an unmodified client was answered:\n{log}", flush=True)


JOBS: Mapping[str, Callable[[], None]] = {"webhook": remove_webhook, "records": remove_records, "test": test}


def main() -> int:
    """Do the job that the first argument names."""
    try:
        JOBS[sys.argv[1]]()
    except StoppedError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: the API server can't be reached: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
