"""Requests to a cluster's authority and its reports on them: two fields of one ConfigMap. Pure.

A request is done once, whatever crashes in between. Before anything is done, the report says what held then (`Before`);
from that and from what holds now it follows what is left (`left`), so an act that was done and not reported is not done
again. A request with another id takes the place of the one before.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self, assert_never

from kecs.certs.outcome import Action, Reason, Workload
from kecs.certs.rotation import NEXT, SETTLE, due
from kecs.certs.state import Authority, Phase
from kecs.core.errors import AuthorityError

IMPORT_SECRET: Final = "kecs-import"  # noqa: S105 - the name of a Secret
"""Where an imported root or issuer waits to be taken, in cert-manager's layout; removed when it was."""
_WORKLOADS_MAX: Final = 200
"""A ConfigMap holds 1 MiB; who has more to restart looks at them with `kecs proxy certs status`."""
_ID_MAX: Final = 128


_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


class Wish(StrEnum):
    """What can be asked for."""

    ROTATE = "rotate"
    """Every act that is left of a rotation, beginning one if none is under way."""
    PREPARE = "prepare"
    """The first act alone."""
    SWITCH = "switch"
    """The second act alone."""
    RETIRE = "retire"
    """The third act alone."""
    EMERGENCY = "emergency"
    """A new generation at once, because a key has leaked."""
    RENEW = "renew"
    """Another issuer below the same root."""
    IMPORT = "import"
    """The root or issuer in IMPORT_SECRET."""


class Stage(StrEnum):
    """How far a request has come."""

    RUNNING = "running"
    """It is being worked on."""
    WAITING = "waiting"
    """It goes on by itself, after a time or when workloads have ended."""
    DONE = "done"
    """All that was asked for is done."""
    REFUSED = "refused"
    """It is not done, for the reasons given."""
    FAILED = "failed"
    """It could not be done; the reasons say why, as sentences."""


OVER: Final = frozenset({Stage.DONE, Stage.REFUSED, Stage.FAILED})
PROPAGATING: Final = "propagating"
"""The reason of a wait that is over after a time: what signs has to reach every replica of kecs-certs first."""
PATIENT: Final = frozenset({Reason.OLD_ROOT_ONLY, Reason.UNCROSSED})
"""Refusals that are over once workloads have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for."""

    id: str
    wish: Wish
    force: bool = False
    wait: bool = False
    """Whether a single act waits for workloads instead of being refused. A whole rotation always does."""

    @property
    def waits(self) -> bool:
        """Whether it outlasts refusals that pass."""
        return self.wait or self.wish is Wish.ROTATE

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a request; raise AuthorityError saying what is wrong with it."""
        try:
            asked = json.loads(text)
            number, action = asked["id"], asked["action"]
            flags = {name: asked.get(name, False) for name in ("force", "wait")}
        except _UNREADABLE as error:
            raise AuthorityError(
                f"the request is no JSON object with id and action: {text[:200]!r}", hint=_ASK
            ) from error
        if not isinstance(number, str) or not 0 < len(number) <= _ID_MAX:
            raise AuthorityError(f"the request's id is {number!r}", hint=f"give a text of 1 to {_ID_MAX} characters")
        if action not in tuple(Wish):
            raise AuthorityError(f"the request's action is {action!r}", hint=f"one of {', '.join(Wish)}")
        wrong = [name for name, value in flags.items() if not isinstance(value, bool)]
        if wrong:
            raise AuthorityError(f"{wrong[0]} of the request is {flags[wrong[0]]!r}", hint="true or false")
        return cls(id=number, wish=Wish(action), **flags)

    def spell(self) -> str:
        """Write it as `parse` reads it."""
        return json.dumps({"id": self.id, "action": self.wish.value, "force": self.force, "wait": self.wait})


_ASK: Final = "`kecs proxy certs rotate` writes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What held when a request was taken up."""

    generation: int
    phase: Phase
    issuer_sha256: str
    """Empty when the issuer could not be read."""

    @classmethod
    def of(cls, authority: Authority) -> Self:
        """Take note of it."""
        return cls(generation=authority.generation, phase=authority.phase, issuer_sha256=authority.issuer_sha256)

    @property
    def target(self) -> int:
        """The generation that a whole rotation leads to."""
        return self.generation if self.phase is Phase.SWITCHED else self.generation + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the authority says of a request."""

    id: str
    stage: Stage
    wish: str = ""
    before: Before | None = None
    steps: tuple[str, ...] = ()
    """What was done, as `act: sentence`."""
    reasons: tuple[str, ...] = ()
    """Members of `Reason`, PROPAGATING, or sentences."""
    workloads: tuple[Workload, ...] = ()
    """Who stands in the way, or has to be restarted."""
    phase: str = ""
    until: str = ""
    """When a wait for PROPAGATING is over, RFC 3339."""

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.stage in OVER

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a report; None when there is none, or one that was edited beyond use."""
        try:
            said = json.loads(text)
            before = said.get("before")
            return cls(
                id=str(said["id"]),
                stage=Stage(said["state"]),
                wish=str(said.get("action", "")),
                before=_before(before) if before else None,
                steps=tuple(map(str, said.get("steps") or ())),
                reasons=tuple(map(str, said.get("reasons") or ())),
                workloads=tuple(
                    Workload(name=str(one["name"]), kind=str(one["kind"]), trusted=())
                    for one in said.get("workloads") or ()
                ),
                phase=str(said.get("phase", "")),
                until=str(said.get("until", "")),
            )
        except _UNREADABLE:
            return None

    def spell(self) -> str:
        """Write it as `parse` reads it. What workloads trust is left out: it stands on them."""
        shown = [{"kind": one.kind, "name": one.name} for one in self.workloads[:_WORKLOADS_MAX]]
        said: dict[str, Any] = {
            "id": self.id,
            "action": self.wish,
            "state": self.stage.value,
            "phase": self.phase,
            "steps": list(self.steps),
            "reasons": list(self.reasons),
            "workloads": shown,
        }
        if self.before:
            said["before"] = {
                "generation": self.before.generation,
                "phase": self.before.phase.value,
                "issuer_sha256": self.before.issuer_sha256,
            }
        if self.until:
            said["until"] = self.until
        return json.dumps(said)

    def with_step(self, step: str) -> "Report":
        """Add what was done. After a crash the same thing may be said again: once is enough."""
        return self if step in self.steps else replace(self, steps=(*self.steps, step))


def _before(said: Mapping[str, Any]) -> Before:
    return Before(
        generation=int(said["generation"]), phase=Phase(said["phase"]), issuer_sha256=str(said.get("issuer_sha256", ""))
    )


_ACTIONS: Final = {
    Wish.PREPARE: Action.PREPARE,
    Wish.SWITCH: Action.SWITCH,
    Wish.RETIRE: Action.RETIRE,
}


def left(wish: Wish, before: Before, authority: Authority | None) -> Action | None:
    """Say which act is next for a request; None when nothing is left. An import is not an act of rotation.

    `authority` is None when it can't be read, which an emergency survives.
    """
    match wish:
        case Wish.ROTATE:
            over = authority is None or (authority.generation, authority.phase) == (before.target, Phase.STABLE)
            return None if over or authority is None else _onward(authority, before)
        case Wish.EMERGENCY:
            replaced = authority is not None and authority.generation > before.generation
            return None if replaced else Action.EMERGENCY
        case Wish.RENEW:
            renewed = authority is not None and authority.issuer_sha256 != before.issuer_sha256
            return None if renewed else Action.RENEW
        case Wish.PREPARE | Wish.SWITCH | Wish.RETIRE:
            return _ACTIONS[wish]
        case Wish.IMPORT:
            return None
        case _:  # pragma: no cover - mypy knows that there is none
            assert_never(wish)


def _onward(authority: Authority, before: Before) -> Action | None:
    """Continue towards the target. Beyond it somebody else has rotated on meanwhile."""
    return None if authority.generation > before.target else NEXT[authority.phase]


def automatic(authority: Authority, now: datetime, share: float) -> Request | None:
    """Say what the authority asks of itself: a rotation of a root that has lived so great a share of its life.

    One that a person began is left to them, until the root is that old, or the new one has signed for a day. The id
    holds the day: what was refused is asked again on the next one.
    """
    day = f"{now:%Y%m%d}"
    match authority.phase:
        case Phase.STABLE | Phase.PREPARED:
            aged = due(replace(authority, phase=Phase.STABLE), now, share)
            number = f"auto-{authority.generation + 1}-{day}"
            return Request(id=number, wish=Wish.ROTATE, wait=True) if aged else None
        case Phase.SWITCHED:
            number = f"auto-retire-{authority.generation - 1}-{day}"
            return Request(id=number, wish=Wish.RETIRE, wait=True) if now >= authority.since + SETTLE else None
        case _:  # pragma: no cover - mypy knows that there is none
            assert_never(authority.phase)


def sentence(action: Action, authority: Authority, *, changed: bool) -> str:
    """Say what an act did, from what holds afterwards."""
    active = authority.generation
    said = {
        Action.PREPARE: f"generation {active + 1} is there; who starts now trusts {active} and {active + 1}",
        Action.SWITCH: f"generation {active} signs; running sidecars take it up without a restart",
        Action.RETIRE: f"generation {active - 1} is trusted no more; who starts now trusts {active} alone",
        Action.EMERGENCY: f"generation {active} replaces all before; what runs trusts it after a restart only",
        Action.RENEW: f"generation {active} has a new issuer",
    }
    return f"{action.value}: {said[action] if changed else 'is done already'}"
