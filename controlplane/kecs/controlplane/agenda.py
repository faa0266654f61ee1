"""What a reconciler has to look at: now, because something changed, or at a time. Pure."""

import heapq
import itertools
from datetime import datetime


class Agenda:
    """Keys that are to be looked at, each once, the longest waiting first."""

    def __init__(self) -> None:
        self._now: dict[str, None] = {}
        self._later: list[tuple[datetime, int, str]] = []
        self._times: dict[str, datetime] = {}
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._now)

    def add(self, key: str) -> None:
        """Have it looked at."""
        self._now[key] = None

    def at(self, key: str, when: datetime) -> None:
        """Have it looked at no later than at a time."""
        if key not in self._times or when < self._times[key]:
            self._times[key] = when
            heapq.heappush(self._later, (when, next(self._order), key))

    def take(self, most: int, now: datetime) -> list[str]:
        """Return what is to be looked at now, and forget it."""
        while self._later and self._later[0][0] <= now:
            when, _, key = heapq.heappop(self._later)
            if self._times.get(key) == when:
                del self._times[key]
                self._now[key] = None
        taken = list(itertools.islice(self._now, most))
        for key in taken:
            del self._now[key]
        return taken

    @property
    def next(self) -> datetime | None:
        """Return when something is to be looked at that is not yet."""
        while self._later and self._times.get(self._later[0][2]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
