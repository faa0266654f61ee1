"""What has to hold for a sidecar to be ready, each thing told apart. Pure.

Readiness asks for listeners and certificate. Of the backend it only tells, unless it is asked to do more: a native
sidecar's readiness is its pod's, and an emulator that restarts must not take every pod out of its Services.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is looked at."""

    name: str
    reason: str
    """What is wrong; empty when it holds."""
    required: bool = True

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reason


def is_ready(checks: Sequence[Check]) -> bool:
    """Say whether everything holds that is required."""
    return all(check.holds for check in checks if check.required)


def described(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the answer to a probe: whether it is ready, and how each check stands."""
    return {
        "ready": is_ready(checks),
        "checks": {
            check.name: {"ok": check.holds, "required": check.required, "reason": check.reason} for check in checks
        },
    }
