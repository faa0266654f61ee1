"""A rotation, told step by step: which acts are left, what each did in words, what it waits for. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kecs.certs.outcome import Action, Reason, Workload
from kecs.certs.state import Authority, Phase

LEFT: Final = {
    Phase.STABLE: (Action.PREPARE, Action.SWITCH, Action.RETIRE),
    Phase.PREPARED: (Action.SWITCH, Action.RETIRE),
    Phase.SWITCHED: (Action.RETIRE,),
}
"""The acts of a rotation that are left in each phase."""

WAITED_FOR: Final = frozenset({Reason.OLD_ROOT_ONLY, Reason.UNCROSSED})
"""The refusals that pass when workloads end."""

GO_ON: Final = "`kecs proxy certs rotate --wait` goes on from here"


class Ending(IntEnum):
    """How a rotation ended; the exit code."""

    DONE = 0
    """All that was asked for is done."""
    REFUSED = 1
    """An act was refused, or failed."""
    REMAINS = 3
    """Something remains: workloads need the old root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for."""

    phase: Action | None = None
    """One act alone; None for all that are left."""
    force: bool = False
    wait: bool = False
    timeout_s: float | None = None

    def acts(self, phase: Phase) -> tuple[Action, ...]:
        """List what is to be done."""
        return (self.phase,) if self.phase else LEFT[phase]


def parted(step: str) -> tuple[str, str]:
    """Part what an authority says of an act into the act's name and the sentence."""
    word, found, rest = step.partition(": ")
    return (word, rest) if found else ("", step)


def planned(authority: Authority, wanted: Wanted, workloads: Sequence[Workload]) -> Iterator[tuple[Action, str]]:
    """Say what each act would do now."""
    newest = authority.generation + (0 if authority.phase is Phase.SWITCHED else 1)
    words = {
        Action.PREPARE: f"would make generation {newest} and have new workloads trust {newest - 1} and {newest}",
        Action.SWITCH: f"would have generation {newest} sign, cross-signed by generation {newest - 1}",
        Action.RETIRE: f"would stop trusting generation {newest - 1}",
    }
    behind = without(authority, workloads) if newest - 1 else ()
    for action in wanted.acts(authority.phase):
        waits = f", once {names(behind)} no longer runs" if action is Action.RETIRE and behind else ""
        forced = f", which breaks {names(behind)}" if waits and wanted.force else waits
        yield action, words[action] + forced


def without(authority: Authority, workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """List the workloads that a rotation begun, or finished, now would wait for: none of them knows a newer root."""
    newest = {Phase.STABLE: None, Phase.PREPARED: authority.trust_sha256[-1], Phase.SWITCHED: authority.trust_sha256[0]}
    needed = newest[authority.phase]
    return tuple(workload for workload in workloads if needed not in workload.trusted)


def names(workloads: Sequence[Workload]) -> str:
    """Name workloads in a sentence."""
    return ", ".join(map(named, workloads))


def named(workload: Workload) -> str:
    """Name a workload."""
    return f"{workload.kind} {workload.name}"
