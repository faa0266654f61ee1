"""When a pod asks for its next intermediate: a state and what happened in, the next state and what to tell out. Pure.

An intermediate is replaced at two thirds of its life, and at once when another issuer signs, which is asked every
minute. Whatever fails, the one in use stays in use. Times of day are UTC and may jump; waits are seconds that pass.

last            in use             next                                    in
--------------  -----------------  --------------------------------------  -------------------------------------------
nothing         none               issue                                   at once
issue failed    none, or ended     issue                                   up to 0.2 s, doubled up to 5 s
issue failed    one that holds     poll; issue if the issuer is another,   up to 1 s, doubled up to 5 min
                                   or the time has come
poll failed     one                poll                                    a minute; when it has aged, if that is sooner
good            one                poll                                    the same
any             aged, not valid    issue                                   see above

A denial that lasts is not asked about every few seconds: it waits as if one were held. Retry-After is the least wait
after a failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from kecs.core.errors import ConfigError
from kecs.sidecar.identity import Granted, RenewalError

_LIVED: Final = 2 / 3
_EXPIRING: Final = 1 / 6
_LEAST: Final = timedelta(seconds=1)
"""However short-lived what is issued may be, it is not asked for more often."""
_RETRY_AFTER_MAX_S: Final = 3600.0
_DOUBLINGS_MAX: Final = 20
_POLL_MAX_S: Final = 3600


class Act(StrEnum):
    """What is asked of the service."""

    ISSUE = "issue"
    """A new intermediate."""
    POLL = "poll"
    """Which issuer signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How often."""

    poll_s: float = 60.0
    jitter: float = 0.1
    """The share by which polls and renewals come earlier or later: pods that start together don't ask together."""
    first_s: tuple[float, float] = (0.2, 5.0)
    """The first and the longest wait while there is nothing to serve with."""
    later_s: tuple[float, float] = (1.0, 300.0)
    """The same while there is."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read KECS_SIDECAR_POLL_S."""
        value = environ.get("KECS_SIDECAR_POLL_S", "")
        if not value:
            return cls()
        try:
            poll_s = float(value)
        except ValueError:
            poll_s = 0
        if not 0 < poll_s <= _POLL_MAX_S:
            raise ConfigError(f"KECS_SIDECAR_POLL_S {value!r} is no number of seconds", hint=f"up to {_POLL_MAX_S}")
        return cls(poll_s=poll_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The intermediate in use."""

    generation: int
    issuer_sha256: str
    not_before: datetime
    since: datetime
    renew_at: datetime
    not_after: datetime

    def seconds_left(self, now: datetime) -> int:
        """Say how long it holds; never below 0."""
        return max(0, int((self.not_after - now).total_seconds()))

    def is_due(self, now: datetime) -> bool:
        """Say whether it has aged, or does not hold at all by this clock, which was set back then."""
        return now >= self.renew_at or now < self.not_before

    def is_expiring(self, now: datetime) -> bool:
        """Say whether less than a sixth of its life is left."""
        return self.not_after - now < (self.not_after - self.since) * _EXPIRING


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the last request was of no use."""

    act: Act
    reason: str
    message: str
    hint: str
    retry_after_s: float
    lasting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of the log."""

    name: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known between two requests."""

    held: Held | None = None
    failures: int = 0
    """Of issuing, since it last went well or was needed."""
    trouble: Trouble | None = None
    warned: bool = False


type Told = tuple[State, tuple[Event, ...]]


def act(state: State, now: datetime) -> Act:
    """Choose what to ask next."""
    return Act.ISSUE if state.held is None or state.held.is_due(now) else Act.POLL


def is_replaced(state: State, issuer_sha256: str) -> bool:
    """Say whether another issuer signs than that of the intermediate in use."""
    return state.held is None or state.held.issuer_sha256 != issuer_sha256


def issued(granted: Granted, now: datetime, terms: Terms, luck: float) -> Told:
    """Go on with a new intermediate. `luck`, from 0 to 1, says when in the allowed time it is replaced."""
    certificate = granted.intermediate.signer.certificate
    lived = (granted.intermediate.not_after - now) * (_LIVED * _spread(terms, luck))
    held = Held(
        generation=granted.generation,
        issuer_sha256=granted.issuer_sha256,
        not_before=certificate.not_valid_before_utc,
        since=now,
        renew_at=now + max(lived, _LEAST),
        not_after=granted.intermediate.not_after,
    )
    facts = {
        "generation": held.generation,
        "issuer_sha256": held.issuer_sha256,
        "not_after": held.not_after.isoformat(),
        "seconds_left": held.seconds_left(now),
    }
    return State(held=held), (Event(name="certificate_issued", facts=facts),)


def polled(state: State) -> State:
    """Note that the issuer is still the one in use: what failed before is of no interest any more."""
    return replace(state, failures=0, trouble=None)


_FAILED: Final[Mapping[Act, str]] = {
    Act.ISSUE: "certificate_renewal_failed",
    Act.POLL: "certificate_poll_failed",
}


def failed(state: State, during: Act, error: RenewalError, now: datetime) -> Told:
    """Note that a request was of no use. Each trouble is told once, however often it comes back."""
    trouble = Trouble(
        act=during,
        reason=error.reason.value,
        message=error.message,
        hint=error.hint,
        retry_after_s=error.retry_after_s,
        lasting=error.lasting,
    )
    before = state.trouble
    after = replace(state, trouble=trouble, failures=state.failures + (during is Act.ISSUE))
    if before is not None and (before.act, before.reason) == (trouble.act, trouble.reason):
        return after, ()
    left = state.held.seconds_left(now) if state.held else 0
    facts = {"reason": trouble.reason, "message": trouble.message, "hint": trouble.hint, "seconds_left": left}
    return after, (Event(name=_FAILED[during], facts=facts),)


def aged(state: State, now: datetime) -> Told:
    """Warn once when the end of the intermediate in use is near."""
    held = state.held
    if held is None or state.warned or not held.is_expiring(now):
        return state, ()
    facts = {
        "not_after": held.not_after.isoformat(),
        "seconds_left": held.seconds_left(now),
        "reason": state.trouble.reason if state.trouble else "",
        "message": state.trouble.message if state.trouble else "",
        "hint": state.trouble.hint if state.trouble else "",
    }
    return replace(state, warned=True), (Event(name="certificate_expiring", facts=facts),)


def wait_s(state: State, now: datetime, terms: Terms, luck: float) -> float:
    """Say how long to wait before the next request; the module's table."""
    trouble, held = state.trouble, state.held
    least = min(trouble.retry_after_s, _RETRY_AFTER_MAX_S) * (1 + terms.jitter * luck) if trouble else 0.0
    if trouble is not None and trouble.act is Act.ISSUE:
        serves = held is not None and now < held.not_after
        first, longest = terms.later_s if serves or trouble.lasting else terms.first_s
        return max(least, _back_off(first, longest, state.failures, luck))
    if held is None:
        return 0.0
    poll = max(least, terms.poll_s * _spread(terms, luck))
    return min(poll, max(0.0, (held.renew_at - now).total_seconds()))


def described(state: State) -> dict[str, Any]:
    """Say how renewing stands."""
    trouble, held = state.trouble, state.held
    return {
        "generation": held.generation if held else None,
        "renew_at": held.renew_at.isoformat() if held else None,
        "last_error": {
            "during": trouble.act.value,
            "reason": trouble.reason,
            "message": trouble.message,
            "hint": trouble.hint,
        }
        if trouble
        else None,
    }


def _spread(terms: Terms, luck: float) -> float:
    return 1 + terms.jitter * (2 * luck - 1)


def _back_off(first_s: float, longest_s: float, failures: int, luck: float) -> float:
    """Wait anything up to a bound that doubles: those who failed together come back spread out."""
    bound = min(longest_s, first_s * 2.0 ** min(max(failures, 1) - 1, _DOUBLINGS_MAX))
    return max(first_s / 10, bound * luck)
