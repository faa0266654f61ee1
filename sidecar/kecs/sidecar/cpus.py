"""How many CPUs a process may use: those of its affinity, or fewer where its control group has a quota. An edge."""

import math
import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def quota_of(text: str) -> float:
    """Read `cpu.max` (cgroup v2): microseconds of a period, or max."""
    try:
        allowed, period = text.split()
        return math.inf if allowed == "max" else int(allowed) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf


def available(quota: Path = _QUOTA) -> int:
    """Return how many processes can run at a time; at least one."""
    try:
        most = quota_of(quota.read_text(encoding="ascii"))
    except OSError:
        most = math.inf
    return max(1, min(len(os.sched_getaffinity(0)), math.ceil(most) if most < math.inf else 1 << 20))
