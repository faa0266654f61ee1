"""What the certificate service tells of itself: a log line for each request, and metrics. An edge."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kecs.certs.issuance import Denied
from kecs.certs.lines import Lines
from kecs.certs.state import Authority


class Journal:
    """Lines to a stream, counts to a registry of its own."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._registry = CollectorRegistry()
        self._issued = Counter("kecs_certs_issued", "Intermediates issued.", registry=self._registry)
        self._denied = Counter(
            "kecs_certs_denied", "Requests denied, by each reason.", ["reason"], registry=self._registry
        )
        self._seconds = Histogram(
            "kecs_certs_issue_seconds", "Time to answer a request that was granted.", registry=self._registry
        )
        self._dropped = Gauge("kecs_certs_log_lines_dropped", "Log lines nobody took.", registry=self._registry)
        self._generation = Gauge("kecs_certs_generation", "The generation that signs.", registry=self._registry)
        self._ends = Gauge(
            "kecs_certs_issuer_not_after_seconds", "When the issuer ends, in Unix time.", registry=self._registry
        )

    def event(self, name: str, **fields: Any) -> None:
        """Write one line."""
        self._lines.event(name, fields)

    def issued(self, issued: Mapping[str, Any], pod: Mapping[str, Any], *, duration_s: float) -> None:
        """Record an intermediate."""
        self._issued.inc()
        self._seconds.observe(duration_s)
        facts = {name: issued[name] for name in ("generation", "issuer_sha256", "not_after")}
        self.event("intermediate_issued", **pod, **facts, duration_ms=round(duration_s * 1000, 3))

    def denied(self, denied: Denied, pod: Mapping[str, Any]) -> None:
        """Record a denial."""
        for reason in denied.reasons:
            self._denied.labels(reason.value).inc()
        self.event(
            "intermediate_denied",
            **pod,
            reason=denied.reasons[0].value,
            reasons=[reason.value for reason in denied.reasons],
            problems=[problem.value for problem, _ in denied.problems],
            message=denied.message,
            status=int(denied.status),
        )

    def authority(self, authority: Authority) -> None:
        """Record which issuer signs from now on."""
        self._generation.set(authority.generation)
        self._ends.set(authority.issuer.not_after.timestamp())
        self.event(
            "issuer_loaded",
            generation=authority.generation,
            phase=authority.phase.value,
            issuer_sha256=authority.issuer_sha256,
            not_after=authority.issuer.not_after.isoformat(),
        )

    def metrics(self) -> bytes:
        """Return what Prometheus reads."""
        self._dropped.set(self._lines.dropped)
        return generate_latest(self._registry)
