"""How often a process that fails is started again. Pure: told the time, it says how long to wait."""

from typing import Final

_SETTLED_S: Final = 5.0
"""A process that served for this long had no trouble starting; its failures are counted anew."""
_ATTEMPTS: Final = 3
"""After this many starts that failed, clients are no longer made to wait for the next one."""
_FIRST_S: Final = 0.25
_CRASH_MAX_S: Final = 5.0
_START_MAX_S: Final = 60.0


class Backoff:
    """Counts failures in a row.

    A process that served and died is started again at once, then after 0.25 s, 0.5 s, ... 5 s: whoever comes meanwhile
    waits. One that does not even start is tried three times like that; from then on who comes is refused until 5 s,
    10 s, ... 60 s are over, and the next who comes has it tried once more.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._unstarted = 0
        self._until = 0.0

    def refuses(self, now: float) -> bool:
        """Say whether nobody is to wait for the process now."""
        return now < self._until

    def failed(self, now: float, *, served_s: float) -> float:
        """Note a failure, after serving for so long (negative: it did not start); return how long to wait."""
        if served_s >= _SETTLED_S:
            self.failures = 0
        self.failures += 1
        self._unstarted = self._unstarted + 1 if served_s < 0 else 0
        if self._unstarted >= _ATTEMPTS:
            wait_s = min(_START_MAX_S, _CRASH_MAX_S * 2.0 ** min(self._unstarted - _ATTEMPTS, 10))
            self._until = now + wait_s
            return wait_s
        return min(_CRASH_MAX_S, _FIRST_S * 2.0 ** min(self.failures - 2, 10)) if self.failures > 1 else 0.0
