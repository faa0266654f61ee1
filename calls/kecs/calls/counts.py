"""What one process has counted, as a value: summed over processes, carried between them as JSON. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from kecs.calls.metrics import BUCKETS, Tally
from kecs.relay.decide import Failure
from kecs.relay.occupancy import Limit

LIMITS: tuple[str, ...] = (*Limit, Failure.CONNECT_TIMEOUT, Failure.FIRST_BYTE_TIMEOUT, Failure.TIMEOUT)
"""The words of everything that has a limit; each is shown from the start, so that an alert has something to watch."""

type _Pairs = Counter[tuple[str, str]]


@dataclass(slots=True, kw_only=True)
class Counts:
    """Everything that only grows, and what there is right now."""

    calls: _Pairs = field(default_factory=Counter)
    """By service and status."""
    events: _Pairs = field(default_factory=Counter)
    """By event and reason."""
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    relay: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    """Bytes and other single numbers."""
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    duration_sum: float = 0.0
    now: Counter[str] = field(default_factory=Counter)
    """What is open, and how much of it there may be."""

    @classmethod
    def of(
        cls, tally: Tally, relay: Mapping[str, int], *, log_dropped: int = 0, now: Mapping[str, int] | None = None
    ) -> Self:
        """Take what a process has counted so far."""
        tally.settle()
        return cls(
            calls=Counter(tally.calls),
            events=Counter(tally.events),
            verdicts=Counter(tally.verdicts),
            failures=Counter(tally.failures),
            relay=Counter({str(what): count for what, count in relay.items()}),
            sums=Counter(
                bytes_in=tally.bytes_in,
                bytes_out=tally.bytes_out,
                metadata=tally.metadata,
                passed_bytes=tally.passed_bytes,
                log_dropped=log_dropped,
            ),
            durations=list(tally.durations),
            duration_sum=tally.duration_sum,
            now=Counter(now or {}),
        )

    def add(self, other: "Counts", *, ended: bool = False) -> None:
        """Add another process' counts; of one that has `ended`, nothing is open any more."""
        for name in ("calls", "events", "verdicts", "failures", "relay", "sums", *(() if ended else ("now",))):
            getattr(self, name).update(getattr(other, name))
        self.durations = [one + two for one, two in zip(self.durations, other.durations, strict=True)]
        self.duration_sum += other.duration_sum

    @property
    def limits(self) -> dict[str, int]:
        """How often each limit was reached."""
        return {word: self.relay[word] for word in LIMITS}

    def plain(self) -> dict[str, Any]:
        """Spell it for JSON."""
        return {
            "calls": [[*key, count] for key, count in self.calls.items()],
            "events": [[*key, count] for key, count in self.events.items()],
            **{name: dict(getattr(self, name)) for name in ("verdicts", "failures", "relay", "sums", "now")},
            "durations": self.durations,
            "duration_sum": self.duration_sum,
        }

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        return cls(
            calls=_pairs(given["calls"]),
            events=_pairs(given["events"]),
            durations=list(given["durations"]),
            duration_sum=given["duration_sum"],
            **{name: Counter(given[name]) for name in ("verdicts", "failures", "relay", "sums", "now")},
        )


def _pairs(given: Iterable[tuple[str, str, int]]) -> _Pairs:
    return Counter({(first, second): count for first, second, count in given})
