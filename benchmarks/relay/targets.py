"""What is promised of the relay, and whether it holds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks.relay.arms import DIRECT, OURS, REFERENCE
from benchmarks.relay.figures import Sample, Spread, absolute, paired

MITMDUMP: Final = "mitmdump"


class Verdict(StrEnum):
    """How a promise stands."""

    GOAL = "goal"
    """Where it was to go, it is."""
    MUST = "must"
    """What has to be, is."""
    MISSED = "missed"
    """What has to be, is not."""
    UNKNOWN = "not measured"
    """This run has no figure for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise."""

    title: str
    load: str
    measure: str
    must: float
    goal: float
    against: str = REFERENCE
    """Whose share is meant; empty: the figure itself is."""
    unit: str = "x"
    digits: int = 2
    more: bool = True
    """More is better."""

    def found(self, samples: Sequence[Sample], arm: str = OURS) -> Spread | None:
        """Return the figure of an arm."""
        if not self.against:
            return absolute(samples, self.load, arm, self.measure)
        return paired(samples, self.load, arm, self.against, self.measure)

    def verdict(self, found: Spread | None) -> Verdict:
        """Judge the median."""
        if found is None:
            return Verdict.UNKNOWN
        for bound, verdict in ((self.goal, Verdict.GOAL), (self.must, Verdict.MUST)):
            if found.median >= bound if self.more else found.median <= bound:
                return verdict
        return Verdict.MISSED

    def bound(self, value: float) -> str:
        """Spell a bound."""
        return f"{'≥' if self.more else '≤'} {self.spell(value)}"

    def spell(self, value: float) -> str:
        """Spell a figure."""
        gap = "" if self.unit == "x" else " "
        return f"{value:.{self.digits}f}{gap}{self.unit}"


def _bulk(size: int, name: str) -> tuple[Target, ...]:
    ways = (("down", "down"), ("up", "up"))
    return tuple(
        Target(title=f"{name} {way}, MB/s", load=f"{load}-{size}", measure="mb_s", must=0.9, goal=1.15)
        for load, way in ways
    )


TARGETS: Final = (
    Target(title="1 KB keep-alive, 10 connections, req/s", load="small-c10", measure="rate", must=0.75, goal=1.0),
    Target(title="1 KB keep-alive, 50 connections, req/s", load="small-c50", measure="rate", must=0.9, goal=1.0),
    Target(title="CPU per request, 10 connections", load="small-c10", measure="cpu_us", must=1.6, goal=1.1, more=False),
    Target(title="CPU per request, 50 connections", load="small-c50", measure="cpu_us", must=1.6, goal=1.1, more=False),
    Target(title="new TLS connections/s, full handshakes", load="tls-full", measure="rate", must=0.8, goal=1.0),
    Target(title="new TLS connections/s, resumed", load="tls-resumed", measure="rate", must=0.8, goal=1.0),
    *_bulk(256, "256 MB"),
    *_bulk(1024, "1 GiB"),
    *(
        Target(
            title=f"RSS growth, 1 GiB {way}, fresh process",
            load="growth-1024",
            measure=f"rss_growth_{way}_mb",
            must=4,
            goal=1,
            against="",
            unit="MB",
            digits=1,
            more=False,
        )
        for way in ("down", "up")
    ),
    Target(title="pass-through, CPU per MB", load="pass-256", measure="cpu_ms_mb", must=1.0, goal=0.6, more=False),
    Target(title="pass-through, CPU per connection", load="pass-new", measure="cpu_us", must=2.0, goal=1.2, more=False),
    Target(
        title="stock mitmdump, 10 connections, req/s",
        load="small-c10",
        measure="rate",
        must=25,
        goal=60,
        against=MITMDUMP,
        digits=0,
    ),
    Target(title="boto3 to the emulator, ops/s", load="boto3", measure="rate", must=0.9, goal=0.97, against=DIRECT),
    Target(
        title="container at rest, PSS",
        load="start",
        measure="pss_mb",
        must=45,
        goal=30,
        against="",
        unit="MB",
        digits=0,
        more=False,
    ),
    Target(
        title="from exec to the first answered call",
        load="start",
        measure="ready_s",
        must=0.6,
        goal=0.3,
        against="",
        unit="s",
        more=False,
    ),
)
