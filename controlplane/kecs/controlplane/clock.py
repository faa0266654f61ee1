"""What time it is, and waiting until a time: the real clock, and one that is moved by hand."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time to everything that waits."""

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when it is that time, at once where it has passed."""
        ...


class RealClock:
    """The machine's."""

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    async def sleep_until(self, when: datetime) -> None:
        """Wait. A clock that was set back makes it wait longer, one that was set forward no shorter."""
        while (left := (when - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time is what is waited for
            await asyncio.sleep(left)


class SteppedClock:
    """A clock that stands still until it is moved, for whole lives in no time."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time it was moved to."""
        return self._now

    async def sleep_until(self, when: datetime) -> None:
        """Wait until it is moved there."""
        if when <= self._now:
            return
        sleeper = when, asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    @property
    def next(self) -> datetime | None:
        """When the first of those that wait wants to be woken."""
        return min((when for when, woken in self._sleepers if not woken.done()), default=None)

    def move(self, by: timedelta) -> None:
        """Make it later, and wake whoever waited for that."""
        self._now += by
        for when, woken in self._sleepers:
            if when <= self._now and not woken.done():
                woken.set_result(None)
