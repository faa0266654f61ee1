"""What is counted: a dictionary's work. `kecs.calls.exposition` says how Prometheus reads it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from kecs.relay.decide import Exchange, Verdict

BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
NOT_REWRITTEN: Final = "body_not_rewritten"
"""The reason of a call that was completed, but whose answer may hold an address of the backend's."""
_SERIES_MAX: Final = 2000
"""Label values come from clients in part: above this many series, new ones are counted as `other`."""
_NOTED_MAX: Final = 64

type Counter = Callable[[int, float, int, int], None]
"""Counts a finished call: status, seconds, bytes of the request's and of the response's body."""


class Tally:
    """Counters of one sidecar."""

    def __init__(self) -> None:
        self.verdicts: dict[str, int] = defaultdict(int)
        self.calls: dict[tuple[str, str], int] = {}
        self.failures: dict[str, int] = defaultdict(int)
        self.durations = [0] * (len(BUCKETS) + 1)
        self.duration_sum = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.metadata = 0
        self.passed_bytes = 0
        self.events: dict[tuple[str, str], int] = {}
        self._counters: dict[str, Counter] = {}
        self._noted: list[tuple[Counter, int, float, int, int]] = []

    def verdict(self, verdict: Verdict) -> None:
        """Count a decision on a connection."""
        self.verdicts[type(verdict).__name__.lower()] += 1

    def passed(self, count: int) -> None:
        """Count the bytes of a pass that has ended."""
        self.passed_bytes += count

    def call(self, service: str, exchange: Exchange) -> None:
        """Count a finished call."""
        seconds = exchange.ended - exchange.started
        self.counter(service)(exchange.status, seconds, exchange.request_bytes, exchange.response_bytes)
        if exchange.reason and exchange.reason != NOT_REWRITTEN:
            self.failures[exchange.reason] += 1

    def note(self, count: Counter, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Count a finished call later, at `settle`: many in a row cost less than as many between other work."""
        self._noted.append((count, status, seconds, bytes_in, bytes_out))
        if len(self._noted) >= _NOTED_MAX:
            self.settle()

    def settle(self) -> None:
        """Count what was noted. Whoever reads the counts does this first."""
        noted, self._noted = self._noted, []
        for count, status, seconds, bytes_in, bytes_out in noted:
            count(status, seconds, bytes_in, bytes_out)

    def counter(self, service: str) -> Counter:
        """Return what counts a service's calls: by status, seconds, bytes of the request and of the response."""
        known = self._counters.get(service)
        if known is not None:
            return known
        labels: dict[int, tuple[str, str]] = {}
        calls, durations = self.calls, self.durations

        def count(status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
            label = labels.get(status)
            if label is None:
                label = labels[status] = (service or "unknown", str(status))
            if label in calls:
                calls[label] += 1
            else:
                _count(calls, label)
            durations[bisect_left(BUCKETS, seconds)] += 1
            self.duration_sum += seconds
            self.bytes_in += bytes_in
            self.bytes_out += bytes_out

        self._counters[service] = count
        return count

    def exchange(self, record: Mapping[str, Any]) -> None:
        """Count another finished exchange by its record."""
        if record["event"] == "metadata":
            self.metadata += 1
        else:
            _count(self.events, (record["event"], record["reason"]))

    def event(self, event: str, reason: str) -> None:
        """Count what happened beside the calls themselves."""
        _count(self.events, (event, reason))

    def connection(self, record: Mapping[str, Any]) -> None:
        """Count a connection that could not be served by its record."""
        _count(self.events, (record["event"], record["reason"]))


def _count(counts: dict[tuple[str, str], int], key: tuple[str, str]) -> None:
    if key not in counts and len(counts) >= _SERIES_MAX:
        key = ("other", "other")
    counts[key] = counts.get(key, 0) + 1
