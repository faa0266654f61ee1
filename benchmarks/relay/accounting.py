"""What processes have used, by the kernel's own account. Reads /proc; decides nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.relay.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In bytes, summed over processes."""

    pss: int
    """Pages that several processes share count in parts, those outside of the container included."""
    rss: int
    private: int


def cpu_ns(pids: Iterable[int]) -> dict[int, int]:
    """Return the time that each process' threads have run.

    schedstat counts every nanosecond on a core; utime and stime are sampled at ticks, and miss what sleeps before one.
    """
    found = {}
    for pid in pids:
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        found[pid] = sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads)
    return found


def memory(pids: Iterable[int]) -> Memory:
    """Return what processes hold now."""
    pss = rss = private = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        fields = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}
        pss += fields["Pss"]
        rss += fields["Rss"]
        private += fields["Private_Clean"] + fields["Private_Dirty"]
    return Memory(pss=pss, rss=rss, private=private)


class Meter:
    """The CPU that all processes of a user in a place use, from its making on."""

    def __init__(self, where: Place, user: int) -> None:
        self._where = where
        self._user = user
        self._before = cpu_ns(where.members(user))

    def used_s(self) -> float:
        """Return the seconds since. A process that ended would take its account along: then nothing can be said."""
        now = cpu_ns(self._where.members(self._user))
        gone = set(self._before) - set(now)
        if gone:
            raise SystemExit(f"error: a process of the arm ended meanwhile: {sorted(gone)}")
        return sum(count - self._before.get(pid, 0) for pid, count in now.items()) / 1e9
