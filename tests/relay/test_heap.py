"""Holes in the heap go back to the kernel, now and then."""

import subprocess
import sys

from kecs.relay.heap import Heap

HOLES = """
from pathlib import Path
from kecs.relay.heap import Heap

def resident_kb():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)

heap = Heap()
blocks = [bytearray(50_000) for _ in range(800)]
kept = blocks[::10]
blocks.clear()
full = resident_kb()
heap.tend(0.0, 1)
print(full - resident_kb(), len(kept))
"""


def test_what_is_free_between_what_is_used_goes_back() -> None:
    told = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=60)
    assert int(told.stdout.split()[0]) > 10_000


def test_only_after_work_and_not_all_the_time() -> None:
    trimmed: list[float] = []
    now = 0.0

    def trim(_: int) -> int:
        trimmed.append(now)
        return 1

    heap = Heap(trim)
    for moment, done in ((0.0, 0), (1.0, 5), (2.0, 6), (31.0, 6), (90.0, 6), (100.0, 6), (150.0, 7)):
        now = moment
        heap.tend(now, done)
    assert trimmed == [1.0, 31.0, 150.0]
