"""Injected pods on a fake cluster, and `kecs proxy` on it, for the tests of the live commands."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kube_lab import ApiServer, api_server

from kecs.cli.main import cli
from kecs.core.names import INIT_CONTAINER, SIDECAR_CONTAINER, STATUS_ANNOTATION, TRUST_ROOT_ANNOTATION

ROOT, NEXT, OTHER = "a" * 64, "b" * 64, "c" * 64
READY: dict[str, Any] = {"state": {"running": {}}, "ready": True, "started": True, "restartCount": 0}


def pod(
    name: str = "app",
    *,
    namespace: str = "shop",
    roots: str = ROOT,
    sidecar: dict[str, Any] | None = READY,
    phase: str = "Running",
    **metadata: Any,
) -> dict[str, Any]:
    """Make an injected pod; without a status of its sidecar it has none."""
    annotations = {STATUS_ANNOTATION: json.dumps({"mode": "sidecar", "version": "0.1.0"}), TRUST_ROOT_ANNOTATION: roots}
    inits = [{"name": INIT_CONTAINER}, {"name": SIDECAR_CONTAINER}] if sidecar is not None else []
    statuses = [{"name": SIDECAR_CONTAINER, **sidecar}] if sidecar is not None else []
    return {
        "metadata": {"labels": {"app": "shop"}, "annotations": annotations, "uid": f"uid-{name}", **metadata}
        | {"name": name, "namespace": namespace},
        "spec": {"initContainers": inits, "containers": [{"name": "app"}]},
        "status": {"phase": phase, "initContainerStatuses": statuses},
    }


@dataclass(slots=True)
class Lab:
    """A fake cluster."""

    api: ApiServer
    kubeconfig: Path
    environ: dict[str, str] = field(default_factory=dict)

    def kecs(self, *arguments: str) -> Result:
        """Run `kecs proxy …` in this process."""
        argv = ["proxy", *arguments, "--kubeconfig", str(self.kubeconfig)]
        return CliRunner().invoke(cli, argv, standalone_mode=False)

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line that runs it as a process."""
        return [sys.executable, "-m", "kecs.cli", "proxy", *arguments, "--kubeconfig", str(self.kubeconfig)]

    def add(self, made: dict[str, Any], log: bytes = b"") -> None:
        """Have a pod, and its sidecar's log."""
        metadata = made["metadata"]
        self.api.logs[metadata["namespace"], metadata["name"], SIDECAR_CONTAINER] = log
        self.api.put("pods", made)

    def log(self, name: str, content: bytes, *, namespace: str = "shop") -> None:
        """Have a sidecar say something."""
        self.api.log(namespace, name, SIDECAR_CONTAINER, content)

    def init_log(self, name: str, content: str, *, namespace: str = "shop") -> None:
        """Have an init container have said something."""
        self.api.log(namespace, name, INIT_CONTAINER, content.encode())

    def gone(self, name: str, *, namespace: str = "shop") -> None:
        """Delete a pod, and its log with it."""
        self.api.logs.pop((namespace, name, SIDECAR_CONTAINER), None)
        self.api.remove("pods", name, namespace)

    def followers(self) -> int:
        """Count how often a log has begun to be followed."""
        return self.api.log_followers


@contextmanager
def lab(directory: Path) -> Iterator[Lab]:
    """Run a cluster with a trust bundle; `app` in `shop` is what its kubeconfig's namespace has."""
    with api_server() as api:
        trust = {"metadata": {"name": "kecs-trust", "namespace": "kecs-system"}, "data": {"trust_sha256": ROOT}}
        api.put("configmaps", trust)
        yield Lab(api, api.kubeconfig(directory), dict(os.environ))


def code(result: Result) -> int:
    """Return the exit code of a command that ended as it should."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        pytest.fail(f"{result.exception!r}: {result.output}")
    found = result.return_value
    return found if isinstance(found, int) else 0
