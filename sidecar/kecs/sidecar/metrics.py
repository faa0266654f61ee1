"""What is counted, and how Prometheus reads it.

Counting is a dictionary's work; the client library is loaded when somebody asks for the first time.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kecs.relay.decide import Exchange, Verdict

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
_RENEWALS: Final = "Intermediates issued, and requests for one that failed, by result."
_SERIES_MAX: Final = 2000
"""Label values come from clients in part: above this many series, new ones are counted as `other`."""


class Tally:
    """Counters of one sidecar."""

    def __init__(self) -> None:
        self.verdicts: dict[str, int] = defaultdict(int)
        self.calls: dict[tuple[str, str], int] = {}
        self.failures: dict[str, int] = defaultdict(int)
        self.durations = [0] * (len(_BUCKETS) + 1)
        self.duration_sum = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.metadata = 0
        self.passed_bytes = 0
        self.events: dict[tuple[str, str], int] = {}

    def verdict(self, verdict: Verdict) -> None:
        """Count a decision on a connection."""
        self.verdicts[type(verdict).__name__.lower()] += 1

    def passed(self, count: int) -> None:
        """Count the bytes of a pass that has ended."""
        self.passed_bytes += count

    def call(self, service: str, exchange: Exchange) -> None:
        """Count a finished call."""
        _count(self.calls, (service or "unknown", str(exchange.status)))
        seconds = exchange.ended - exchange.started
        self.durations[bisect_left(_BUCKETS, seconds)] += 1
        self.duration_sum += seconds
        self.bytes_in += exchange.request_bytes
        self.bytes_out += exchange.response_bytes
        if exchange.reason:
            self.failures[exchange.reason] += 1

    def exchange(self, record: Mapping[str, Any]) -> None:
        """Count another finished exchange by its record."""
        if record["event"] == "metadata":
            self.metadata += 1
        else:
            _count(self.events, (record["event"], record["reason"]))

    def connection(self, record: Mapping[str, Any]) -> None:
        """Count a connection that could not be served by its record."""
        _count(self.events, (record["event"], record["reason"]))


def _count(counts: dict[tuple[str, str], int], key: tuple[str, str]) -> None:
    if key not in counts and len(counts) >= _SERIES_MAX:
        key = ("other", "other")
    counts[key] = counts.get(key, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCounts:
    """What is known of the intermediate."""

    not_after: datetime | None = None
    renewals: Mapping[str, int] = field(default_factory=dict)
    """By result: issued, or why not."""


def render(
    tally: Tally, relay: Mapping[str, int], log_dropped: int, certificate: CertificateCounts | None = None
) -> bytes:
    """Return everything in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see the module

    registry = CollectorRegistry()
    registry.register(_Collector(tally, relay, log_dropped, certificate or CertificateCounts()))
    return generate_latest(registry)


class _Collector:
    def __init__(
        self, tally: Tally, relay: Mapping[str, int], log_dropped: int, certificate: CertificateCounts
    ) -> None:
        self._tally = tally
        self._relay = relay
        self._log_dropped = log_dropped
        self._certificate = certificate

    def collect(self) -> Iterable["Metric"]:
        from prometheus_client.core import (  # noqa: PLC0415 - see the module
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        if self._certificate.not_after is not None:
            yield GaugeMetricFamily(
                "kecs_sidecar_certificate_not_after_seconds",
                "When the intermediate in use ends, in Unix time.",
                value=self._certificate.not_after.timestamp(),
            )
        tally = self._tally
        calls = CounterMetricFamily("kecs_sidecar_calls", "AWS calls answered.", labels=("service", "status"))
        for key, count in tally.calls.items():
            calls.add_metric(key, count)
        yield calls
        events = CounterMetricFamily("kecs_sidecar_events", "Connections not served.", labels=("event", "reason"))
        for key, count in tally.events.items():
            events.add_metric(key, count)
        yield events
        for name, text, label, counts in (
            ("kecs_sidecar_connections", "Decisions on connections.", "verdict", tally.verdicts),
            ("kecs_sidecar_call_failures", "Calls that the backend did not complete.", "reason", tally.failures),
            ("kecs_sidecar_relay", "What the relay counted.", "what", self._relay),
            ("kecs_sidecar_certificate_renewals", _RENEWALS, "result", self._certificate.renewals),
        ):
            family = CounterMetricFamily(name, text, labels=(label,))
            for value, count in counts.items():
                family.add_metric((value,), count)
            yield family
        for name, text, count in (
            ("kecs_sidecar_request_body_bytes", "Body bytes of calls.", tally.bytes_in),
            ("kecs_sidecar_response_body_bytes", "Body bytes of answers.", tally.bytes_out),
            ("kecs_sidecar_metadata_requests", "Requests to metadata endpoints.", tally.metadata),
            ("kecs_sidecar_passed_bytes", "Bytes of ended passes, both ways.", tally.passed_bytes),
            ("kecs_sidecar_log_dropped", "Log lines that nobody took.", self._log_dropped),
        ):
            yield CounterMetricFamily(name, text, value=count)
        duration = HistogramMetricFamily("kecs_sidecar_call_duration_seconds", "From a call's first byte to its end.")
        below, buckets = 0, []
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), tally.durations, strict=True):
            below += count
            buckets.append((bound, below))
        duration.add_metric((), buckets, tally.duration_sum)
        yield duration
