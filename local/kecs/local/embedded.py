"""The edge that keeps the embedded emulator of `kecs server` up: a process at a socket that outlives it.

Connections that are made while there is no process wait in the socket's backlog, and are answered by the next one. What
had reached the process that ended is broken off, and never repeated from here.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kecs.core.errors import MachineError
from kecs.emulator.backend import Backend
from kecs.local import children, restarts
from kecs.local.children import Child

_BACKLOG = 1024
_START_S = 60.0


class Embedded:
    """The emulator, whichever process it is now."""

    def __init__(self, listener: socket.socket, account: str, tell: Callable[[str], None]) -> None:
        self._listener = listener
        self._account = account
        self._tell = tell
        self._streak = restarts.Streak()
        self._ready_at: float | None = None
        self._due: float | None = None
        """When it is started again; None while there is a process."""
        self._started_at = time.monotonic()
        self.child = self._start()
        """The latest process."""

    @property
    def address(self) -> Backend:
        """Where it answers, now and after it was started again."""
        host, port = self._listener.getsockname()
        return Backend(scheme="http", host=host, port=port)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait for the first process; raise MachineError when it ends or stays silent."""
        self.child.wait_ready(timeout_s)
        self._ready_at = time.monotonic()

    def look(self) -> bool:
        """Start it again where it has ended and that is due; False when it is given up."""
        now = time.monotonic()
        if self._due is not None:
            return now < self._due or self._again()
        code = self.child.process.poll()
        if code is None:
            self._see_ready(now)
            return True
        return self._ended(now, f"was killed by signal {-code}" if code < 0 else f"ended with code {code}")

    def due_s(self, longest_s: float) -> float:
        """Return after how long it wants to be looked at, at the latest."""
        return longest_s if self._due is None else min(longest_s, max(0.0, self._due - time.monotonic()))

    def stop(self) -> None:
        """End it."""
        self.child.stop()

    def _start(self) -> Child:
        descriptor = self._listener.fileno()
        words = ["--fd", str(descriptor), "--account", self._account]
        return children.start("emulator", "kecs.emulator", words, [descriptor])

    def _again(self) -> bool:
        self._due, self._ready_at, self._started_at = None, None, time.monotonic()
        self.child.close()
        try:
            self.child = self._start()
        except OSError as error:  # no memory or no process to be had, which may pass
            reason = os.strerror(error.errno or 0).lower()
            return self._ended(time.monotonic(), f"could not be started ({reason})")
        return True

    def _ended(self, now: float, how: str) -> bool:
        self._streak = self._streak.after(0.0 if self._ready_at is None else now - self._ready_at)
        if self._streak.wait_s is None:
            return False
        self._due = now + self._streak.wait_s
        self._tell(restarts.told("emulator", how, self._streak))
        return True

    def _see_ready(self, now: float) -> None:
        if self._ready_at is not None:
            return
        if select.select([self.child.ready], [], [], 0)[0]:
            try:
                self.child.wait_ready(0)
            except MachineError:  # it has ended: the next look sees that
                return
            self._ready_at = now
        elif now - self._started_at > _START_S:  # it hangs: its end begins it anew
            self.child.process.kill()


@contextmanager
def embedded(account: str, tell: Callable[[str], None]) -> Iterator[Embedded]:
    """Start the embedded emulator; `tell` gets a sentence whenever it is started again."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        found = Embedded(listener, account, tell)
        try:
            yield found
        finally:
            found.stop()
