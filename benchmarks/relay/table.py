"""Results as text: eighty columns. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.relay.figures import Sample, Spread, absolute, paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that loads measure."""

    name: str
    title: str
    digits: int = 0


MEASURES: Final = (
    Measure(name="rate", title="per second"),
    Measure(name="mb_s", title="MB/s"),
    Measure(name="cpu_us", title="CPU us each", digits=1),
    Measure(name="cpu_ms_mb", title="CPU ms per MB", digits=2),
    Measure(name="client_cpu_us", title="client's CPU us"),
    Measure(name="p50_ms", title="p50 ms", digits=2),
    Measure(name="p99_ms", title="p99 ms", digits=1),
    Measure(name="resumed_share", title="resumed, share", digits=2),
    Measure(name="peak_pss_mb", title="peak PSS, MB"),
    Measure(name="rss_growth_down_mb", title="RSS growth down, MB", digits=1),
    Measure(name="rss_growth_up_mb", title="RSS growth up, MB", digits=1),
    Measure(name="kb_each", title="KB each", digits=1),
    Measure(name="ready_s", title="ready, s", digits=2),
    Measure(name="start_cpu_s", title="CPU of start, s", digits=2),
    Measure(name="rest_cpu_ms", title="CPU at rest, ms/s", digits=2),
    Measure(name="pss_mb", title="PSS, MB", digits=1),
    Measure(name="rss_mb", title="RSS, MB", digits=1),
    Measure(name="private_mb", title="private, MB", digits=1),
    Measure(name="errors", title="errors"),
)


def render(samples: Sequence[Sample], reference: str) -> str:
    """Return a table for each load: medians with their lowest and highest, and shares of the reference by pairs."""
    loads = list(dict.fromkeys(one.load for one in samples))
    return "\n".join(_load(samples, load, reference) for load in loads)


def _load(samples: Sequence[Sample], load: str, reference: str) -> str:
    arms = list(dict.fromkeys(one.arm for one in samples if one.load == load))
    lines = [f"{load:<22}{'arm':<12}{'median':>9} {'low-high':>15}  {f'of {reference}':>19}"]
    for measure in MEASURES:
        rows = [(arm, absolute(samples, load, arm, measure.name)) for arm in arms]
        known = [(arm, found) for arm, found in rows if found is not None]
        if measure.name == "errors" and not any(found.high for _, found in known):
            continue
        for number, (arm, found) in enumerate(known):
            share = None if arm == reference else paired(samples, load, arm, reference, measure.name)
            label = measure.title if number == 0 else ""
            lines.append(f"  {label:<20}{arm:<12}{_spread(found, measure.digits)}  {_share(share):>19}".rstrip())
    return "\n".join(lines) + "\n"


def _spread(found: Spread, digits: int) -> str:
    between = f"{found.low:.{digits}f}-{found.high:.{digits}f}"
    return f"{found.median:>9.{digits}f} {between:>15}"


def _share(found: Spread | None) -> str:
    if found is None:
        return ""
    return f"{found.median:.2f} [{found.low:.2f}-{found.high:.2f}]"
