"""A log that nobody waits for: lines are written by a thread, and dropped and counted when it can't keep up. An edge.

A reader of standard output that stops reading would else stop the webhook, and with it every new pod of the cluster.
"""

import os
import queue
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kecs.core.events import line

_WAITING_MAX: Final = 2000
_END_S: Final = 1.0


class Lines:
    """See the module; one JSON line per event."""

    def __init__(
        self,
        descriptor: int = 1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._descriptor = descriptor  # not a stream: its lock would be held while a write waits, and the exit with it
        self._clock = clock
        self._fields = dict(fields or {})
        self._queue: queue.Queue[str | None] = queue.Queue(_WAITING_MAX)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()
        self.dropped = 0
        """Lines that were not written."""

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Take an event; it is written soon, or counted."""
        try:
            self._queue.put_nowait(line(name, self._clock(), {**self._fields, **fields}))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for a second at most."""
        try:
            self._queue.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)

    def _write(self) -> None:
        while (text := self._queue.get()) is not None:
            left = (text + "\n").encode()
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:  # its reader went away, or the disk is full
                self.dropped += 1
