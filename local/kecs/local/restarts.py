"""How often a part of `kecs server` that ends by itself is started again, and what a person is told of it. Pure."""

from dataclasses import dataclass
from typing import Final, Self

WAITS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before the first start in a row, the second, and so on. Calls wait meanwhile: longer would be no answer to them."""
STEADY_S: Final = 60.0
"""Who was up that long before it ended begins a new streak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Ends by itself that followed each other."""

    ends: int = 0

    def after(self, up_s: float) -> Self:
        """Count one more end, of a process that had been ready for so long."""
        return type(self)(ends=1 if up_s >= STEADY_S else self.ends + 1)

    @property
    def wait_s(self) -> float | None:
        """How long to wait before it is started again; None when it is given up."""
        return WAITS_S[self.ends - 1] if self.ends <= len(WAITS_S) else None


def told(name: str, how: str, streak: Streak) -> str:
    """Say that it has ended and is started again, which start in a row that is, and what is lost by it."""
    when = f" in {streak.wait_s:g} s" if streak.wait_s else ""
    which = f" ({streak.ends} of {len(WAITS_S)} in a row)" if streak.ends > 1 else ""
    return (
        f"the {name} {how} and is started again{when}{which}:"
        " buckets, queues, tables, whatever it held in memory, are lost; the state of ECS is kept"
    )
