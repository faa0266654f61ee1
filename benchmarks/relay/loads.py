"""The loads: what clients do, and what is measured meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.relay import wrk
from benchmarks.relay.accounting import Meter
from benchmarks.relay.arms import Running
from benchmarks.relay.layout import head_fields
from kecs.core.names import PROXY_UID

type Measure = Callable[[Running, float], dict[str, float]]
"""Puts load on an arm for about so many seconds; returns figures by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One kind of traffic."""

    name: str
    title: str
    measure: Measure
    arms: frozenset[str] | None = None
    """Who can bear it; None: all."""


def _keepalive(connections: int) -> Measure:
    def measure(running: Running, seconds: float) -> dict[str, float]:
        fields = [word for key, value in head_fields().items() for word in ("-H", f"{key}: {value}")]
        shape = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--latency"]
        meter = Meter(running.pod, PROXY_UID)
        said = running.pod.run("wrk", *shape, *fields, f"{running.base}/small", user=65534)
        used_s = meter.used_s()
        found = wrk.parse(said)
        return found | {"cpu_us": used_s / found["requests"] * 1e6}

    return measure


LOADS: Final = {
    load.name: load
    for load in (
        *(
            Load(name=f"small-c{count}", title=f"1 KB GET, keep-alive, {count} connections", measure=_keepalive(count))
            for count in (1, 10, 50, 200)
        ),
    )
}
