"""What a cluster's authority tells of itself: log lines, metrics, events of Kubernetes. An edge; never keys."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from kecs.certs.bundle import fingerprint
from kecs.certs.kube import Kube, KubeError
from kecs.certs.outcome import Workload
from kecs.certs.state import Authority, Phase
from kecs.core.events import line
from kecs.core.names import AUTHORITY, ISSUER_SECRET

_MESSAGE_MAX: Final = 1000
"""The API server takes 1,024 bytes of an event's message."""


class Chronicle:
    """See the module. Events are for people who look with kubectl: one that can't be written is only counted."""

    def __init__(
        self,
        kube: Kube | None,
        namespace: str,
        *,
        identity: str = "",
        stream: TextIO = sys.stdout,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube, self._namespace, self._identity = kube, namespace, identity
        self._stream, self._clock = stream, clock
        self._problem = ""
        self._registry = CollectorRegistry()
        self._leads = self._gauge("leader", "Whether this replica is the one that acts.")
        self._generation = self._gauge("generation", "The generation that signs.")
        self._phase = self._gauge("phase", "How far a rotation is: 1 for the phase that holds.", "phase")
        self._ends = self._gauge("not_after_seconds", "When a certificate ends, in Unix time.", "certificate")
        self._workloads = self._gauge("workloads", "Running pods by what they trust; kept up during rotations.", "root")
        self._troubled = self._gauge("troubled", "Whether the last round failed.")
        self._last = self._gauge("last_success_seconds", "When a round last succeeded, in Unix time.")
        self._acts = self._counter("acts", "Acts of rotations.", "action", "outcome")
        self._written = self._counter("written", "Derived objects that were written.", "object")
        self._failed = self._counter("failures", "Rounds that failed.")
        self._lost = self._counter("events_lost", "Events of Kubernetes that could not be written.")

    def event(self, name: str, **fields: Any) -> None:
        """Write one line."""
        self._stream.write(line(name, self._clock(), {"replica": self._identity, **fields}) + "\n")
        self._stream.flush()

    def leads(self, leads: bool) -> None:  # noqa: FBT001 - it is told one thing
        """Record that this replica begins or ceases to act."""
        self._leads.set(leads)
        self.event("leadership_gained" if leads else "leadership_ended")

    def authority(self, authority: Authority, workloads: Sequence[Workload] | None) -> None:
        """Record what holds after a round; `workloads` is None when they were not looked at."""
        self._generation.set(authority.generation)
        for phase in Phase:
            self._phase.labels(phase.value).set(phase is authority.phase)
        self._ends.labels("issuer").set(authority.issuer.not_after.timestamp())
        self._ends.labels("root").set(authority.root.not_valid_after_utc.timestamp())
        if workloads is None:
            return
        active, trusted = fingerprint(authority.root), set(authority.trust_sha256)
        kinds = {"active": 0, "other": 0, "none": 0}
        for workload in workloads:
            known = trusted.intersection(workload.trusted)
            kinds["active" if active in known else "other" if known else "none"] += 1
        for kind, count in kinds.items():
            self._workloads.labels(kind).set(count)

    def changed(self, what: str, reason: str, message: str, **fields: Any) -> None:
        """Record something that a person wants to know of, as a line and as an event."""
        self.event(what, message=message, **fields)
        self._publish("Normal", reason, message)

    def acted(self, action: str, outcome: str, message: str, **fields: Any) -> None:
        """Record an act of a rotation, or its refusal."""
        self._acts.labels(action, outcome).inc()
        self.event("rotation_act", action=action, outcome=outcome, message=message, **fields)
        kind = "Warning" if outcome in {"refused", "failed"} else "Normal"
        self._publish(kind, f"Rotation{outcome.capitalize()}", f"{action}: {message}")

    def written(self, names: Sequence[str]) -> None:
        """Record derived objects that were made, renewed or repaired."""
        for name in names:
            self._written.labels(name).inc()
            self.event("object_written", object=name)

    def succeeded(self) -> None:
        """Record a round that did all it had to."""
        self._last.set(self._clock().timestamp())
        self._troubled.set(0)
        if self._problem:
            self.event("recovered", after=self._problem)
        self._problem = ""

    def troubled(self, message: str, hint: str = "") -> None:
        """Record a round that failed. The same problem is told once."""
        self._failed.inc()
        self._troubled.set(1)
        if message != self._problem:
            self.event("round_failed", message=message, hint=hint)
            self._publish("Warning", "RoundFailed", f"{message}; {hint}" if hint else message)
        self._problem = message

    def metrics(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"kecs_authority_{name}", text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"kecs_authority_{name}", text, labels, registry=self._registry)

    def _publish(self, kind: str, reason: str, message: str) -> None:
        if self._kube is None:
            return
        moment = f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        about = {"apiVersion": "v1", "kind": "Secret", "namespace": self._namespace, "name": ISSUER_SECRET}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{AUTHORITY}-", "namespace": self._namespace},
            "involvedObject": about,
            "type": kind,
            "reason": reason,
            "message": message[:_MESSAGE_MAX],
            "source": {"component": AUTHORITY, "host": self._identity},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            self._kube.create(f"/api/v1/namespaces/{self._namespace}/events", body)
        except KubeError:
            self._lost.inc()
