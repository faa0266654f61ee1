"""What time it is, and waiting until a time: the real clock, and one that is moved by hand."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

_SLOWED: Final = 9, 10
"""How fast time passes while the machine's clock, which was set back, catches up."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What tells the time to everything that waits."""

    def now(self) -> datetime:
        """Return the time: aware, UTC, never earlier than before."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when it is that time, at once where it has passed."""
        ...

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Return when an event is set, or when it is that time: or before, where time passes more slowly."""
        ...


class RealClock:
    """The machine's, as long as it goes forward.

    Records hold times, and what is due follows from them: where the machine's clock is set back by an hour, all that
    is due in a minute would be an hour late. Its time is caught up with instead: until it is there, ours goes on from
    where it was, a tenth slower. Set forward, it is followed at once.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns) -> None:
        """Both count nanoseconds: `wall` since 1970, `steady` since whenever, and never backwards."""
        self._wall, self._steady = wall, steady
        self._told, self._told_at = wall(), steady()

    def now(self) -> datetime:
        """Return the time."""
        part, whole = _SLOWED
        at = self._steady()
        self._told = max(self._wall(), self._told + (at - self._told_at) * part // whole)
        self._told_at = at
        return _EPOCH + timedelta(microseconds=self._told // 1000)

    async def sleep_until(self, when: datetime) -> None:
        """Wait."""
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
