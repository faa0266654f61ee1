"""The leak probe of `kecs proxy check`: a short pod that tries to get past its sidecar. An edge.

It runs nothing unless the pod was injected: without the sidecar its attempts would reach AWS.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from kecs.certs.kube import Kube, KubeError
from kecs.cli import pods
from kecs.cli.observed import Answer
from kecs.core.names import MODE_ANNOTATION

_OK: Final = 200
_LOOK_S: Final = 0.5
_LIVES_S: Final = 120
_NOBODY: Final = 65534
_STUCK: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                           "CreateContainerConfigError", "CrashLoopBackOff"})  # fmt: skip


def run(kube: Kube, *, namespace: str, image: str, timeout_s: float) -> Answer:
    """Run the probe and return what it said; its pod is deleted whatever comes of it."""
    collection = f"/api/v1/namespaces/{namespace}/pods"
    try:
        made = kube.create(collection, pod(image))
    except KubeError as error:
        return Answer(status=error.status, message=error.message)
    path = f"{collection}/{made['metadata']['name']}"
    try:
        if not pods.has_sidecar(made):
            return Answer(status=0, message="its pod was let through without the sidecar, so nothing was tried")
        return _outcome(kube, path, timeout_s)
    except KubeError as error:
        return Answer(status=error.status, message=error.message)
    finally:
        kube.delete(path)


def _outcome(kube: Kube, path: str, timeout_s: float) -> Answer:
    until = time.monotonic() + timeout_s
    why = ""
    while time.monotonic() < until:
        found = kube.get(path)
        if not pods.is_running(found):
            return _said(kube.text(f"{path}/log", container="app"))
        why, stuck = _waiting(found)
        if stuck:
            return Answer(status=0, message=f"its pod does not start: {why}")
        time.sleep(_LOOK_S)
    return Answer(status=0, message=f"its pod was not done within {timeout_s:g} s{f': {why}' if why else ''}")


def _waiting(found: Mapping[str, Any]) -> tuple[str, bool]:
    """Say which container waits for what, and whether in vain."""
    status = found.get("status") or {}
    for place in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(place) or ():
            waiting = (one.get("state") or {}).get("waiting") or {}
            if reason := waiting.get("reason"):
                return f"{one['name']} {reason} {waiting.get('message', '')}".rstrip(), reason in _STUCK
    return "", False


def _said(log: bytes) -> Answer:
    lines = log.decode(errors="replace").splitlines()
    try:
        body = json.loads(lines[-1])
    except (IndexError, ValueError):
        body = None
    if not isinstance(body, dict):
        return Answer(status=0, message=f"its pod said {' / '.join(lines[-3:]) or 'nothing'}")
    return Answer(status=_OK, body=body)


def pod(image: str) -> dict[str, Any]:
    """Write the probe's pod. It is no user that the rules exempt, whatever its image says."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "kecs-leak-probe-",
            "annotations": {MODE_ANNOTATION: "sidecar"},
            "labels": {"app.kubernetes.io/part-of": "kecs"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LIVES_S,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "app",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/opt/kecs/bin/python", "-c", PROGRAM],
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _NOBODY,
                        "runAsGroup": _NOBODY,
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                }
            ],
        },
    }


PROGRAM: Final = r"""
import json, os, socket, ssl

HOST = "sts.amazonaws.com"
PUBLIC = "52.119.198.1"  # an address of AWS; what answers there must never be AWS itself


def issuer(host, address):
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    with socket.create_connection((address, 443), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=host) as tls:
            return dict(pair[0] for pair in tls.getpeercert()["issuer"]).get("organizationName", "")


def tls(address):
    try:
        found = issuer(HOST, address)
    except ssl.SSLCertVerificationError as error:
        return f"answered by somebody else: {error.verify_message}"
    except OSError:
        return "held"
    return "held" if found == "KECS" else f"answered by {found}"


def plain():
    try:
        with socket.create_connection((HOST, 80), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: sts.amazonaws.com\r\nConnection: close\r\n\r\n")
            head = connection.recv(4096)
    except OSError:
        return "held"
    return "answered by AWS" if b"AmazonWebServices" in head or b"x-amz-cf-id" in head.lower() else "held"


def quic():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        try:
            connection.connect((PUBLIC, 443))
            connection.send(b"x" * 1200)
        except OSError:
            return "held"
    return "a datagram was sent"


def other_port():
    try:
        with socket.create_connection((HOST, 8443), timeout=3):
            pass
    except OSError:
        return "held"
    return "a connection was made"


print(json.dumps({
    "TLS to an AWS name": tls(HOST),
    "TLS to an AWS address": tls(PUBLIC),
    "plain HTTP to an AWS name": plain(),
    "QUIC (UDP 443)": quic(),
    "an AWS name on port 8443": other_port(),
}))
"""
