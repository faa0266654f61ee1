"""What is counted, as Prometheus reads it. The client library is loaded when somebody asks for the first time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kecs.calls.counts import Counts
from kecs.calls.metrics import BUCKETS

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
    ("request_body_bytes", "Body bytes of calls.", "bytes_in"),
    ("response_body_bytes", "Body bytes of answers.", "bytes_out"),
    ("metadata_requests", "Requests to metadata endpoints.", "metadata"),
    ("passed_bytes", "Bytes of ended passes, both ways.", "passed_bytes"),
    ("log_dropped", "Log lines that nobody took.", "log_dropped"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCounts:
    """What is known of the intermediate."""

    not_after: datetime | None = None
    renewals: Mapping[str, int] = field(default_factory=dict)
    """By result: issued, or why not."""


def render(
    counts: Counts,
    certificate: CertificateCounts | None = None,
    ready: Mapping[str, bool] | None = None,
    *,
    part: str = "sidecar",
) -> bytes:
    """Return everything in Prometheus' text format. `ready`: what is asked of the part, by name."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see the module

    registry = CollectorRegistry()
    registry.register(_Collector(f"kecs_{part}_", counts, certificate or CertificateCounts(), ready or {}))
    return generate_latest(registry)


class _Collector:
    def __init__(self, prefix: str, counts: Counts, certificate: CertificateCounts, ready: Mapping[str, bool]) -> None:
        self._prefix = prefix
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
                f"{self._prefix}certificate_not_after_seconds",
                "When the intermediate in use ends, in Unix time.",
                value=self._certificate.not_after.timestamp(),
            )
        for name, text in _NOW.items():
            if name in self._counts.now:
                yield GaugeMetricFamily(f"{self._prefix}{name}_now", text, value=self._counts.now[name])
        ready = GaugeMetricFamily(f"{self._prefix}ready", "Whether a check of /readyz is passed.", labels=("check",))
        for name, holds in self._ready.items():
            ready.add_metric((name,), holds)
        yield ready

    def _counters(self) -> Iterable["Metric"]:
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see the module

        counts = self._counts
        for name, text, labels, pairs in (
            ("calls", "AWS calls answered.", ("service", "status"), counts.calls),
            ("events", "Not served, or not rewritten.", ("event", "reason"), counts.events),
        ):
            family = CounterMetricFamily(f"{self._prefix}{name}", text, labels=labels)
            for key, count in pairs.items():
                family.add_metric(key, count)
            yield family
        for name, text, label, singles in (
            ("connections", "Decisions on connections.", "verdict", counts.verdicts),
            ("call_failures", "Calls that the backend did not complete.", "reason", counts.failures),
            ("limits", "How often a limit or a time was reached.", "limit", counts.limits),
            ("relay", "What the relay counted.", "what", counts.relay),
            ("certificate_renewals", _RENEWALS, "result", self._certificate.renewals),
        ):
            family = CounterMetricFamily(f"{self._prefix}{name}", text, labels=(label,))
            for value, count in singles.items():
                family.add_metric((value,), count)
            yield family
        for name, text, what in _SUMS:
            yield CounterMetricFamily(f"{self._prefix}{name}", text, value=counts.sums[what])

    def _durations(self) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - see the module

        family = HistogramMetricFamily(f"{self._prefix}call_duration_seconds", "From a call's first byte to its end.")
        below, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts.durations, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric((), buckets, self._counts.duration_sum)
        return family
