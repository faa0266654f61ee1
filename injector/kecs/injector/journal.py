"""What the injector tells of itself: a log line for each review, metrics, events about owners. An edge."""

import contextlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kecs.certs.kube import Kube, KubeError
from kecs.certs.lines import Lines
from kecs.injector.verdict import Event, Verdict

_QUEUED_MAX: Final = 500
_SAME_S: Final = 600.0
"""A ReplicaSet that makes a thousand pods is told once in ten minutes."""
_REMEMBERED_MAX: Final = 5000
_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Journal:
    """See the module. Events are written on a thread; what it can't keep up with is counted, not waited for."""

    def __init__(
        self,
        kube: Kube | None,
        lines: Lines,
        *,
        instance: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._lines = lines
        self._instance = instance
        self._clock = clock
        self._queue: queue.Queue[Event | None] = queue.Queue(_QUEUED_MAX)
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._thread = threading.Thread(target=self._write_events, name="events", daemon=True)
        self._registry = CollectorRegistry()
        self._reviews = self._counter("reviews", "Reviews by how they ended.", "result")
        self._reasons = self._counter("review_reasons", "Reviews by each reason.", "result", "reason")
        self._bad = self._counter("bad_requests", "Requests that were no review.", "reason")
        self._lost = self._counter("events_lost", "Kubernetes events that were not written.")
        self._seconds = Histogram(
            "kecs_injector_review_seconds", "Time to answer a review.", registry=self._registry, buckets=_BUCKETS
        )
        self._dropped = Gauge("kecs_injector_log_lines_dropped", "Log lines nobody took.", registry=self._registry)
        self._ends = Gauge(
            "kecs_injector_certificate_not_after_seconds",
            "When the serving certificate ends, in Unix time.",
            registry=self._registry,
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"kecs_injector_{name}", meaning, labels, registry=self._registry)

    def start(self) -> None:
        """Begin to write events."""
        self._thread.start()

    def close(self) -> None:
        """Stop writing events; those that wait are lost."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Write one line."""
        self._lines.event(name, fields)

    def tell(self, verdict: Verdict, *, duration_s: float) -> None:
        """Record one verdict."""
        self._reviews.labels(verdict.result.value).inc()
        for reason in verdict.reasons:
            self._reasons.labels(verdict.result.value, reason).inc()
        self._seconds.observe(duration_s)
        facts = {"result": verdict.result.value, "reasons": list(verdict.reasons), **verdict.fields}
        self.event("pod_reviewed", facts | {"duration_ms": round(duration_s * 1000, 3)})
        if verdict.event is not None and self._kube is not None and self._is_news(verdict.event):
            try:
                self._queue.put_nowait(verdict.event)
            except queue.Full:
                self._lost.inc()

    def refuse(self, reason: str) -> None:
        """Count a request that was no review."""
        self._bad.labels(reason).inc()
        self.event("bad_request", {"reason": reason})

    def certificate(self, not_after: datetime) -> None:
        """Record when the serving certificate ends."""
        self._ends.set(not_after.timestamp())

    def metrics(self) -> bytes:
        """Return what Prometheus reads."""
        self._dropped.set(self._lines.dropped)
        return generate_latest(self._registry)

    def _is_news(self, event: Event) -> bool:
        key = (str(event.involved.get("uid")), event.reason, event.message)
        now = time.monotonic()
        if now - self._told.get(key, -_SAME_S) < _SAME_S:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _REMEMBERED_MAX:
            self._told.popitem(last=False)
        return True

    def _write_events(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                if self._kube is not None:
                    self._kube.create(f"/api/v1/namespaces/{event.namespace}/events", self._object(event))
            except KubeError:
                self._lost.inc()

    def _object(self, event: Event) -> dict[str, Any]:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "kecs-injector.", "namespace": event.namespace},
            "involvedObject": dict(event.involved),
            "reason": event.reason,
            "message": event.message,
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": "kecs-injector", "host": self._instance},
            "reportingComponent": "kecs.io/injector",
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
