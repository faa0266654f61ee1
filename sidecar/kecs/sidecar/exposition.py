"""What is counted, as Prometheus reads it. The client library is loaded when somebody asks for the first time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kecs.sidecar.counts import Counts
from kecs.sidecar.metrics import BUCKETS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_RENEWALS: Final = "Intermediates issued, and requests for one that failed, by result."
_NOW: Final = {
    "connections": "Connections of clients that are open.",
    "connections_limit": "Connections of clients that there may be.",
    "requests": "Requests that wait for an answer.",
    "requests_limit": "Requests that may wait for an answer.",
    "workers": "Processes that carry connections.",
}
_SUMS: Final = (
    ("kecs_sidecar_request_body_bytes", "Body bytes of calls.", "bytes_in"),
    ("kecs_sidecar_response_body_bytes", "Body bytes of answers.", "bytes_out"),
    ("kecs_sidecar_metadata_requests", "Requests to metadata endpoints.", "metadata"),
    ("kecs_sidecar_passed_bytes", "Bytes of ended passes, both ways.", "passed_bytes"),
    ("kecs_sidecar_log_dropped", "Log lines that nobody took.", "log_dropped"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCounts:
    """What is known of the intermediate."""

    not_after: datetime | None = None
    renewals: Mapping[str, int] = field(default_factory=dict)
    """By result: issued, or why not."""


def render(
    counts: Counts, certificate: CertificateCounts | None = None, ready: Mapping[str, bool] | None = None
) -> bytes:
    """Return everything in Prometheus' text format. `ready`: what is asked of the sidecar, by name."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see the module

    registry = CollectorRegistry()
    registry.register(_Collector(counts, certificate or CertificateCounts(), ready or {}))
    return generate_latest(registry)


class _Collector:
    def __init__(self, counts: Counts, certificate: CertificateCounts, ready: Mapping[str, bool]) -> None:
        self._counts = counts
        self._certificate = certificate
        self._ready = ready

    def collect(self) -> Iterable["Metric"]:
        yield from self._gauges()
        yield from self._counters()
        yield self._durations()

    def _gauges(self) -> Iterable["Metric"]:
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see the module

        if self._certificate.not_after is not None:
            yield GaugeMetricFamily(
                "kecs_sidecar_certificate_not_after_seconds",
                "When the intermediate in use ends, in Unix time.",
                value=self._certificate.not_after.timestamp(),
            )
        for name, text in _NOW.items():
            if name in self._counts.now:
                yield GaugeMetricFamily(f"kecs_sidecar_{name}_now", text, value=self._counts.now[name])
        ready = GaugeMetricFamily("kecs_sidecar_ready", "Whether a check of /readyz is passed.", labels=("check",))
        for name, holds in self._ready.items():
            ready.add_metric((name,), holds)
        yield ready

    def _counters(self) -> Iterable["Metric"]:
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see the module

        counts = self._counts
        for name, text, labels, pairs in (
            ("kecs_sidecar_calls", "AWS calls answered.", ("service", "status"), counts.calls),
            ("kecs_sidecar_events", "Not served, or not rewritten.", ("event", "reason"), counts.events),
        ):
            family = CounterMetricFamily(name, text, labels=labels)
            for key, count in pairs.items():
                family.add_metric(key, count)
            yield family
        for name, text, label, singles in (
            ("kecs_sidecar_connections", "Decisions on connections.", "verdict", counts.verdicts),
            ("kecs_sidecar_call_failures", "Calls that the backend did not complete.", "reason", counts.failures),
            ("kecs_sidecar_limits", "How often a limit or a time was reached.", "limit", counts.limits),
            ("kecs_sidecar_relay", "What the relay counted.", "what", counts.relay),
            ("kecs_sidecar_certificate_renewals", _RENEWALS, "result", self._certificate.renewals),
        ):
            family = CounterMetricFamily(name, text, labels=(label,))
            for value, count in singles.items():
                family.add_metric((value,), count)
            yield family
        for name, text, what in _SUMS:
            yield CounterMetricFamily(name, text, value=counts.sums[what])

    def _durations(self) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - see the module

        family = HistogramMetricFamily("kecs_sidecar_call_duration_seconds", "From a call's first byte to its end.")
        below, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts.durations, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric((), buckets, self._counts.duration_sum)
        return family
