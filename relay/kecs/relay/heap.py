"""Memory that the C library holds though nobody uses it, given back to the kernel.

Connections come and go with buffers of all sizes, so that the heap gets holes, and only what is free at its end goes
back by itself: under mixed load a sixth of a sidecar's memory was such holes. Giving them back takes glibc about a
millisecond; other C libraries have no `malloc_trim`, and are left alone.
"""

import ctypes
from collections.abc import Callable
from typing import Final

_EVERY_S: Final = 30.0


def _found() -> Callable[[int], int] | None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    function: Callable[[int], int] = trim
    return function


class Heap:
    """The heap of this process."""

    def __init__(self, trim: Callable[[int], int] | None = None) -> None:
        self._trim = trim or _found()
        self._next = 0.0
        self._done = 0

    def tend(self, now: float, done: int) -> None:
        """Give back what is free, now and then, if anything was done since: `done` counts what uses memory."""
        if self._trim is None or now < self._next or done == self._done:
            return
        self._next, self._done = now + _EVERY_S, done
        self._trim(0)
