"""A cluster's authority against the fake API server: replicas that can be killed, pods, and what those would verify."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from certs_lab import NAME, PERMITTED, served
from cryptography import x509
from kube_lab import ApiServer, api_server

from kecs.certs.bundle import fingerprint, parse
from kecs.certs.chronicle import Chronicle
from kecs.certs.controller import Controller, Settings
from kecs.certs.derived import service_domains
from kecs.certs.kube import Kube
from kecs.certs.records import decode_authority
from kecs.certs.requests import Report
from kecs.certs.rotation import Scope
from kecs.certs.state import Authority
from kecs.certs.verify import is_verified
from kecs.core.errors import KecsError
from kecs.core.names import TRUST_ROOT_ANNOTATION

NAMESPACE = "kecs-system"
SCOPE = Scope(permitted=PERMITTED, services=service_domains(NAMESPACE))
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """What a test looks at and turns."""

    api: ApiServer
    kube: Kube
    now: datetime = START
    up: float = 0.0
    roots: dict[str, x509.Certificate] = field(default_factory=dict)
    """Every root that was ever published, by fingerprint."""
    log: io.StringIO = field(default_factory=io.StringIO)

    def replica(self, *, propagation_s: float = 180, rotate_at: float = 0.67, **options: Any) -> Controller:
        """Start a process, one that knows nothing of those before."""
        settings = Settings(
            namespace=NAMESPACE, scope=SCOPE, rotate_at=rotate_at, propagation=timedelta(seconds=propagation_s)
        )
        chronicle = Chronicle(self.kube, NAMESPACE, stream=self.log, clock=lambda: self.now)
        return Controller(self.kube, settings, chronicle, clock=lambda: self.now, uptime=lambda: self.up, **options)

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)
        self.up += timedelta(**duration).total_seconds()

    def fields(self, resource: str, name: str) -> dict[str, bytes]:
        found = self.api.at(resource, name, NAMESPACE)
        assert found, f"there is no {resource} {name}"
        decode = base64.b64decode if resource == "secrets" else str.encode
        return {field: decode(value) for field, value in found["data"].items()}

    @property
    def authority(self) -> Authority:
        return decode_authority(self.fields("secrets", "kecs-issuer"))

    def edit(self, resource: str, name: str, **data: str | bytes | None) -> None:
        """Change fields by hand: `tls_crt` stands for `tls.crt`; None removes one."""
        found = self.api.at(resource, name, NAMESPACE) or {"metadata": {"name": name, "namespace": NAMESPACE}}
        kept = found.setdefault("data", {})
        for key, value in data.items():
            spelled = key.replace("_", ".")
            if value is None:
                kept.pop(spelled, None)
            else:
                kept[spelled] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        self.api.put(resource, found)

    # asking

    def ask(self, number: str, action: str, **flags: bool) -> None:
        self.edit("configmaps", "kecs-rotation", request=json.dumps({"id": number, "action": action, **flags}))

    @property
    def report(self) -> Report:
        found = Report.parse(self.fields("configmaps", "kecs-rotation")["status"].decode())
        assert found
        return found

    # pods

    def start_pod(self, name: str, trusted: str | None = None, *, phase: str = "Running") -> None:
        """Start a pod as the injector does: it trusts the bundle that is published now."""
        data = self.fields("configmaps", "kecs-trust")
        for root in parse(data["ca.crt"], source="kecs-trust"):
            self.roots[fingerprint(root)] = root
        said = data["trust_sha256"].decode() if trusted is None else trusted
        metadata = {"name": name, "namespace": "demo", "annotations": {TRUST_ROOT_ANNOTATION: said}}
        self.api.put("pods", {"metadata": metadata, "status": {"phase": phase}})

    def stop_pod(self, name: str) -> None:
        self.api.remove("pods", name, "demo")

    def cannot_verify(self) -> list[str]:
        """List the pods that would refuse what a sidecar is given now."""
        chain = served(self.authority, self.now)
        return [
            pod["metadata"]["name"]
            for (resource, _, _), pod in sorted(self.api.objects.items())
            if resource == "pods" and not is_verified(chain, NAME, self._trusted(pod), self.now)
        ]

    def _trusted(self, pod: dict[str, Any]) -> list[x509.Certificate]:
        said = pod["metadata"]["annotations"][TRUST_ROOT_ANNOTATION].split(",")
        return [self.roots[one] for one in said if one in self.roots]

    def settle(self, controller: Controller, *, rounds: int = 30) -> None:
        """Run rounds, letting the time pass that each asks for, until one waits as long as it may."""
        for _ in range(rounds):
            try:
                pause = controller.round()
            except KecsError:
                pause = 1.0
            if pause >= 30 and not controller.problem and not self.pending:
                return
            self.pass_time(seconds=pause)
        raise AssertionError(f"it does not settle: {self.log.getvalue()[-2000:]}")

    @property
    def pending(self) -> bool:
        found = self.api.at("configmaps", "kecs-rotation", NAMESPACE)
        data = found["data"] if found else {}
        if "request" not in data:
            return False
        report = Report.parse(data.get("status", ""))
        return report is None or report.id != json.loads(data["request"])["id"] or not report.is_over

    @property
    def events(self) -> list[str]:
        return [body["reason"] for (resource, _, _), body in self.api.objects.items() if resource == "events"]


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    with api_server() as api:
        kube = Kube.load(kubeconfig=str(api.kubeconfig(directory)))
        try:
            yield Cluster(api=api, kube=kube)
        finally:
            kube.close()
