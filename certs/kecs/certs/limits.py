"""How often one pod may ask: a bucket of tokens for each, refilled evenly. Pure: the time is a parameter.

A pod asks once, and again at two thirds of a day; a sidecar that crashes asks at each start. The bound keeps one
that loops from costing the rest their certificates.
"""

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Limiter:
    """Buckets by key, the least recently used forgotten first: a forgotten one is full, which only lets more in."""

    burst: int = 10
    """Requests at once."""
    refill_s: float = 60.0
    """Seconds in which one more is allowed."""
    kept: int = 20_000
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, key: str, now_s: float) -> float:
        """Take one; return 0 when it was there, else the seconds until the next one is."""
        level, since = self._buckets.pop(key, (float(self.burst), now_s))
        level = min(float(self.burst), level + max(0.0, now_s - since) / self.refill_s)
        wait = 0.0 if level >= 1 else (1 - level) * self.refill_s
        self._buckets[key] = (level - 1 if not wait else level, now_s)
        while len(self._buckets) > self.kept:
            self._buckets.popitem(last=False)
        return wait
