"""What the control plane counts, and how Prometheus reads it. The client library is loaded when somebody first asks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kecs.controlplane.records import Cluster, Record, Service, Task, TaskDefinition
from kecs.controlplane.state import State

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_PREFIX: Final = "kecs_controlplane_"
_GAUGES: Final[Mapping[str, str]] = {
    "store_waiting": "Commits that are not durable yet.",
    "store_last_write_seconds": "How long the last transaction took.",
    "reconciler_waiting": "Tasks whose order no worker has begun with.",
    "reconciler_synced": "Whether the runtime has told all that runs.",
}
_COUNTERS: Final[Mapping[str, str]] = {
    "store_commits": "Commits.",
    "store_transactions": "Transactions that wrote them.",
}


@dataclass(slots=True)
class CallTally:
    """Answered requests. Operations are the model's: clients can't make up further series."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By operation and error's code, which is empty for a success."""
    durations: dict[str, list[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    """By operation: what was accepted and has no effect."""

    def add(self, operation: str, code: str, duration_s: float, *, warnings: int = 0) -> None:
        """Count one."""
        self.calls[operation, code] += 1
        if warnings:
            self.warnings[operation] += warnings
        buckets = self.durations.setdefault(operation, [0] * (len(BUCKETS) + 1))
        buckets[bisect_left(BUCKETS, duration_s)] += 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything at one moment."""

    calls: CallTally
    tasks: Mapping[str, int]
    """By last status."""
    services: Mapping[str, int]
    records: Mapping[str, int]
    gauges: Mapping[str, float]
    counters: Mapping[str, float]
    reconciler: Mapping[str, int]
    """What the reconciler has counted, by word."""


def census(state: State) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Count tasks by status, services by status, and what else there is."""
    tasks = Counter(str(task.last_status) for task in state.every(Task))
    services = Counter(str(service.status) for service in state.every(Service))
    kinds: tuple[type[Record], ...] = (Cluster, TaskDefinition, Task, Service)
    return dict(tasks), dict(services), {kind.__name__: state.count(kind) for kind in kinds}


def render(measured: Measured) -> bytes:
    """Return everything in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see the module

    registry = CollectorRegistry()
    registry.register(_Collector(measured))
    return generate_latest(registry)


class _Collector:
    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterable["Metric"]:
        yield from self._calls()
        yield from self._states()
        yield from self._singles()

    def _calls(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415 - see the module

        tally = self._measured.calls
        calls = CounterMetricFamily(f"{_PREFIX}calls", "Requests answered.", labels=("operation", "code"))
        for key, count in tally.calls.items():
            calls.add_metric(key, count)
        yield calls
        text = "What was accepted and has no effect."
        warnings = CounterMetricFamily(f"{_PREFIX}warnings", text, labels=("operation",))
        for operation, count in tally.warnings.items():
            warnings.add_metric((operation,), count)
        yield warnings
        took = HistogramMetricFamily(f"{_PREFIX}call_duration_seconds", "Until the answer.", labels=("operation",))
        for operation, counts in tally.durations.items():
            below, buckets = 0, []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                below += count
                buckets.append((bound, below))
            took.add_metric((operation,), buckets, tally.seconds[operation])
        yield took

    def _states(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - see the module

        for name, text, label, values in (
            ("tasks", "Tasks that are remembered, by last status.", "status", self._measured.tasks),
            ("services", "Services that are remembered, by status.", "status", self._measured.services),
            ("records", "What is remembered, by kind.", "kind", self._measured.records),
        ):
            gauge = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=(label,))
            for value, count in values.items():
                gauge.add_metric((value,), count)
            yield gauge
        counted = CounterMetricFamily(f"{_PREFIX}reconciler", "What the reconciler has done.", labels=("what",))
        for value, count in self._measured.reconciler.items():
            counted.add_metric((value,), count)
        yield counted

    def _singles(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - see the module

        for name, text in _GAUGES.items():
            if name in self._measured.gauges:
                yield GaugeMetricFamily(f"{_PREFIX}{name}", text, value=self._measured.gauges[name])
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"{_PREFIX}{name}", text, value=self._measured.counters[name])
