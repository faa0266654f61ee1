"""How the control plane is, part by part, as the admin port tells it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part, as it was when it was looked at last."""

    name: str
    ok: bool
    required: bool = True
    """Nothing works without it. What is not, is only told."""
    latency_ms: float | None = None
    """How long it took to answer, or its last work; None where it has done none."""
    error: str = ""
    """What went wrong last; empty where that is over."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Spell it for JSON."""
        plain = asdict(self)
        del plain["name"], plain["ok"], plain["details"]
        latency = None if self.latency_ms is None else round(self.latency_ms, 3)
        return {"status": "ok" if self.ok else "failing", **plain, "latency_ms": latency, **self.details}


def is_healthy(components: Sequence[Component]) -> bool:
    """Say whether everything works that has to."""
    return all(one.ok for one in components if one.required)


def described(components: Sequence[Component], *, uptime_s: float, version: str) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "status": "ok" if is_healthy(components) else "failing",
        "version": version,
        "uptime_s": round(uptime_s, 1),
        "components": {one.name: one.described() for one in components},
    }
