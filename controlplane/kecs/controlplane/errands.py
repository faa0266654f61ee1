"""Orders to a runtime: which one a task needs, when it is given again, and how long one that failed waits. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from kecs.controlplane.lifecycle import Order

REPEAT: Final = timedelta(seconds=60)
"""An order that was taken is given again when nothing has come of it: a runtime may have lost it."""
FIRST_RETRY: Final = timedelta(milliseconds=500)
LAST_RETRY: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a runtime was told of a task last."""

    order: Order = Order.NOTHING
    not_before: datetime | None = None
    """When the same order may be given again."""
    failures: int = 0

    def may(self, order: Order, now: datetime) -> bool:
        """Tell whether an order is to be given now."""
        if order is Order.NOTHING:
            return False
        return order is not self.order or self.not_before is None or self.not_before <= now

    def taken(self, order: Order, now: datetime) -> "Errand":
        """Return it after the runtime has taken an order."""
        return replace(self, order=order, not_before=now + REPEAT, failures=0)

    def failed(self, order: Order, now: datetime) -> "Errand":
        """Return it after an order has failed: each time in a row it waits twice as long."""
        failures = self.failures + 1 if order is self.order else 1
        return replace(self, order=order, not_before=now + retry(failures), failures=failures)


def retry(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 10)), LAST_RETRY)
