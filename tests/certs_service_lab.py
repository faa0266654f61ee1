"""The certificate service as it runs in a cluster: its own process, a fake API server, an issuer in a directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kube_lab import ApiServer
from process_lab import Logged

from kecs.certs.outcome import State
from kecs.certs.records import encode_authority
from kecs.certs.rotation import Scope, create
from kecs.certs.state import Authority

SCOPE = Scope(permitted=("amazonaws.com", "api.aws"), services=("kecs-system.svc", "kecs-system.svc.cluster.local"))
SERVICE_NAME = "kecs-certs.kecs-system.svc"


def new_state() -> State:
    return create(SCOPE, datetime.now(UTC))


def write_issuer(directory: Path, authority: Authority) -> None:
    """Do as kubelet does: a new directory, then one link turned to it."""
    version = directory / f"..v{len(list(directory.glob('..v*')))}"
    version.mkdir()
    for name, content in encode_authority(authority).items():
        (version / name).write_bytes(content)
    link = directory / "..new"
    link.symlink_to(version.name)
    link.rename(directory / "..data")


def pod(name: str = "app", uid: str = "uid-app", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": uid,
            "annotations": {"kecs.io/aws-proxy-mode": "sidecar"},
            **metadata,
        },
        "spec": {"initContainers": [{"name": "aws-proxy-sidecar"}], "containers": [{"name": "app"}]},
        "status": {"phase": "Running"},
    }


def review(name: str = "app", uid: str = "uid-app", **changes: Any) -> dict[str, Any]:
    """What the API server says of a good token."""
    extra = {"authentication.kubernetes.io/pod-name": [name], "authentication.kubernetes.io/pod-uid": [uid]}
    user = {"username": "system:serviceaccount:demo:default", "extra": extra}
    return {"authenticated": True, "audiences": ["kecs.io/certs"], "user": user} | changes


@dataclass(slots=True)
class CertsService(Logged):
    """A running service."""

    port: int = 0
    health_port: int = 0


@contextmanager
def certs_service(
    api: ApiServer, issuer: Path, directory: Path, *, port: int = 0, environment: dict[str, str] | None = None
) -> Iterator[CertsService]:
    variables = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(api.kubeconfig(directory)),
        "KECS_CERTS_ISSUER_DIRECTORY": str(issuer),
        "KECS_CERTS_PORT": str(port),
        "KECS_CERTS_HEALTH_PORT": "0",
    }
    with CertsService.module("kecs.certs", "serve", environment=variables | (environment or {})) as service:
        service.port, service.health_port = service.next_line("serving")["ports"]
        yield service
