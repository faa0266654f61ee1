"""What time it is, and waiting until a time: the real clock, and one that is moved by hand."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """What tells the time to everything that waits."""

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when it is that time, at once where it has passed."""
        ...

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Return when an event is set, or when it is that time."""
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

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait for an event, or until a time."""
        left = None if until is None else max(0.0, (until - self.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await event.wait()


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

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait for an event, or until it is moved to a time."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait())]
        if until is not None:
            waits.append(asyncio.ensure_future(self.sleep_until(until)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

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
