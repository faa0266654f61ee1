"""The messages of one queue in their order, found by handle, state and group without looking at every one of them.

It holds messages and never changes them: whoever changes a message's times or handle says so. The clock is the
caller's (milliseconds, as moto's), and threads are the caller's to keep apart.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

_SLACK = 64
"""Outdated entries that a heap may hold beyond as many as are in use."""


class Message(Protocol):
    """What is read of a message."""

    visible_at: float
    """It is visible after, not at, this time."""
    delayed_until: float
    """It is delayed before, not at, this time."""
    group_id: str | None
    deduplication_id: str | None

    @property
    def all_receipt_handles(self) -> list[str | None]:
        """Return the handles that it has and had; None stands for none."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is known of a message: its place and what it was counted as."""

    position: int
    group: str | None
    invisible: bool = False
    delayed: bool = False

    @property
    def ready(self) -> bool:
        return not (self.invisible or self.delayed)


class Backlog[M: Message]:
    """Messages in the order in which they came; what changes with time changes when `settle` is told the time."""

    def __init__(self) -> None:
        self.invisible = 0
        """How many were received and are not visible again."""
        self.delayed = 0
        """How many wait for their delay to end."""
        self.ready = 0
        """How many are neither."""
        self._positions = 0
        self._entries: dict[M, _Entry] = {}
        self._at: dict[int, M] = {}
        self._handles: dict[str, M] = {}
        self._twins: dict[str | None, dict[M, None]] = {}
        self._ready: dict[str | None, list[int]] = {}
        self._heads: list[tuple[int, str | None]] = []
        self._ends: dict[str, list[tuple[float, int]]] = {"visible_at": [], "delayed_until": []}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[M]:
        """Give all messages, in order."""
        return iter(self._entries)

    def append(self, message: M, now: float) -> None:
        """Take a message as the last one."""
        self._positions += 1
        entry = self._entries[message] = _Entry(position=self._positions, group=message.group_id)
        self._at[entry.position] = message
        self._twins.setdefault(message.deduplication_id, {})[message] = None
        self.received(message)
        self._enter(entry)
        self.moved(message, now)

    def remove(self, message: M) -> None:
        """Forget a message; one that is not here is a ValueError, as of a list."""
        entry = self._entries.pop(message, None)
        if entry is None:
            raise ValueError(f"{message!r} is not in this queue")
        self._count(entry, invisible=False, delayed=False)
        self._leave(entry)
        del self._at[entry.position]
        twins = self._twins[message.deduplication_id]
        del twins[message]
        if not twins:
            del self._twins[message.deduplication_id]
        for handle in message.all_receipt_handles:
            if handle is not None:
                self._handles.pop(handle, None)

    def received(self, message: M) -> None:
        """Note a message's handles: all that it ever had."""
        for handle in message.all_receipt_handles:
            if handle is not None:
                self._handles[handle] = message

    def moved(self, message: M, now: float) -> None:
        """Note a message's times."""
        entry = self._entries[message]
        invisible, delayed = now <= message.visible_at, now < message.delayed_until
        self._count(entry, invisible=invisible, delayed=delayed)
        for changes, attribute in ((invisible, "visible_at"), (delayed, "delayed_until")):
            if changes:
                self._remember(attribute, getattr(message, attribute), entry.position)

    def settle(self, now: float) -> None:
        """Count anew what time has changed."""
        for attribute, ends in self._ends.items():
            while ends and (ends[0][0] < now or (attribute == "delayed_until" and ends[0][0] <= now)):
                message = self._at.get(heapq.heappop(ends)[1])
                if message is not None:
                    self._count(
                        self._entries[message],
                        invisible=now <= message.visible_at,
                        delayed=now < message.delayed_until,
                    )

    def next_change(self) -> float | None:
        """Return when time may next change something; None when it will not."""
        return min((ends[0][0] for ends in self._ends.values() if ends), default=None)

    def of_handle(self, handle: str) -> M | None:
        """Return the message that has or had this receipt handle."""
        return self._handles.get(handle)

    def twins(self, deduplication_id: str | None) -> Iterator[M]:
        """Give the messages of this deduplication id, the latest first."""
        return reversed(self._twins.get(deduplication_id, {}))

    def is_ready(self, message: M) -> bool:
        """Say whether a message is here and neither invisible nor delayed."""
        entry = self._entries.get(message)
        return entry is not None and entry.ready

    def walk(self, is_held: Callable[[str], bool]) -> Iterator[M]:
        """Give the ready messages in order, but for groups that are held, asked once each.

        Between two messages, the caller may do with any message what it likes.
        """
        heads = self._heads.copy()  # sorted, so a heap
        last, entered = self._positions, set[str | None]((None,))
        while heads:
            position, group = heapq.heappop(heads)
            if group not in entered:
                if group is not None and is_held(group):
                    continue
                entered.add(group)
            message = self._at.get(position)
            if message is not None and self._entries[message].ready:
                yield message
            following = self._first(group, position)
            if following is not None and following <= last:
                heapq.heappush(heads, (following, group))

    def _first(self, group: str | None, after: int) -> int | None:
        positions = self._ready.get(group, [])
        index = bisect_right(positions, after)
        return positions[index] if index < len(positions) else None

    def _remember(self, attribute: str, time: float, position: int) -> None:
        ends = self._ends[attribute]
        heapq.heappush(ends, (time, position))
        if len(ends) > 2 * len(self._entries) + _SLACK:
            ends[:] = {end for end in ends if end[1] in self._at and getattr(self._at[end[1]], attribute) == end[0]}
            heapq.heapify(ends)

    def _count(self, entry: _Entry, *, invisible: bool, delayed: bool) -> None:
        was_ready = entry.ready
        self.invisible += invisible - entry.invisible
        self.delayed += delayed - entry.delayed
        entry.invisible, entry.delayed = invisible, delayed
        if entry.ready and not was_ready:
            self._enter(entry)
        elif was_ready and not entry.ready:
            self._leave(entry)

    def _enter(self, entry: _Entry) -> None:
        self.ready += 1
        positions = self._ready.setdefault(entry.group, [])
        if not positions or entry.position < positions[0]:
            if positions:
                del self._heads[bisect_left(self._heads, (positions[0],))]
            insort(self._heads, (entry.position, entry.group))
        insort(positions, entry.position)

    def _leave(self, entry: _Entry) -> None:
        self.ready -= 1
        positions = self._ready[entry.group]
        index = bisect_left(positions, entry.position)
        del positions[index]
        if index:
            return
        del self._heads[bisect_left(self._heads, (entry.position,))]
        if positions:
            insort(self._heads, (positions[0], entry.group))
        else:
            del self._ready[entry.group]
