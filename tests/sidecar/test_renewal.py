"""When an intermediate is replaced: the table of waits, what is told, and any history of answers."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from certs_lab import SCOPE
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.issuance import Denial
from kecs.certs.leaf import Intermediate
from kecs.certs.rotation import create
from kecs.core.errors import ConfigError
from kecs.sidecar import renewal
from kecs.sidecar.identity import Granted, Reason, RenewalError
from kecs.sidecar.renewal import Act, Event, State, Terms, Told
from kecs.sidecar.renewal_loop import RenewalLoop

NOW = datetime(2026, 11, 21, 5, 28, 30, tzinfo=UTC)
AUTHORITY = create(SCOPE, NOW - timedelta(days=1)).authority
TERMS = Terms()
DAY = timedelta(days=1)


def granted(lifetime: timedelta = DAY, now: datetime = NOW, issuer: str = "aa") -> Granted:
    intermediate = AUTHORITY.new_intermediate(now, lifetime=lifetime)
    return Granted(intermediate=intermediate, generation=1, issuer_sha256=issuer)


GRANTED = granted()
TROUBLE = RenewalError(Reason.SERVICE_UNREACHABLE, "it does not answer", hint="see")


def held(luck: float = 0.5) -> State:
    return renewal.issued(GRANTED, NOW, TERMS, luck)[0]


def after(state: State, *acts: Act, error: RenewalError = TROUBLE, now: datetime = NOW) -> State:
    for act in acts:
        state, _ = renewal.failed(state, act, error, now)
    return state


@pytest.mark.parametrize(
    ("state", "left", "act", "least_s", "most_s"),
    [
        pytest.param(State(), DAY, Act.ISSUE, 0, 0, id="nothing was asked yet"),
        pytest.param(after(State(), Act.ISSUE), DAY, Act.ISSUE, 0.02, 0.2, id="the first failure without one"),
        pytest.param(after(State(), *[Act.ISSUE] * 3), DAY, Act.ISSUE, 0.02, 0.8, id="the third"),
        pytest.param(after(State(), *[Act.ISSUE] * 99), DAY, Act.ISSUE, 0.02, 5, id="the hundredth"),
        pytest.param(held(), DAY, Act.POLL, 54, 66, id="one is in use"),
        pytest.param(after(held(), Act.POLL), DAY, Act.POLL, 54, 66, id="nobody said who signs"),
        pytest.param(after(held(), Act.ISSUE), DAY, Act.POLL, 0.1, 1, id="the first failure with one"),
        pytest.param(after(held(), *[Act.ISSUE] * 5), DAY, Act.POLL, 0.1, 16, id="the fifth"),
        pytest.param(after(held(), *[Act.ISSUE] * 99), DAY, Act.POLL, 0.1, 300, id="the hundredth with one"),
        pytest.param(held(), DAY / 3 + timedelta(seconds=7), Act.POLL, 7, 7, id="it has aged before the next poll"),
        pytest.param(held(), DAY / 3, Act.ISSUE, 0, 0, id="it has aged"),
        pytest.param(after(held(), Act.ISSUE), DAY / 9, Act.ISSUE, 0.1, 1, id="it has aged and no other came"),
        pytest.param(after(held(), *[Act.ISSUE] * 99), -DAY, Act.ISSUE, 0.02, 5, id="it has ended"),
        pytest.param(held(), 2 * DAY, Act.ISSUE, 54, 66, id="the clock was set back behind its begin"),
    ],
)
def test_the_table(state: State, left: timedelta, act: Act, least_s: float, most_s: float) -> None:
    now = GRANTED.intermediate.not_after - left
    waits = [renewal.wait_s(state, now, TERMS, luck) for luck in (0, 0.5, 1)]
    assert renewal.act(state, now) is act
    assert [waits[0], waits[-1]] == pytest.approx([least_s, most_s])
    assert waits == sorted(waits)


def test_renewals_are_spread_by_a_tenth() -> None:
    ages = [state.held.renew_at - NOW for state in map(held, (0.0, 0.5, 1.0)) if state.held]
    assert ages == [pytest.approx(share * DAY, abs=timedelta(seconds=1)) for share in (0.6, 2 / 3, 0.73333)]


def test_what_lives_for_a_moment_is_not_asked_for_all_the_time() -> None:
    state, _ = renewal.issued(granted(timedelta(seconds=1)), NOW, TERMS, 0)
    assert state.held
    assert state.held.renew_at - NOW == timedelta(seconds=1)


@pytest.mark.parametrize("state", [State(), held()])
def test_retry_after_is_the_least_wait(state: State) -> None:
    patient = RenewalError(Denial.TOO_MANY, "wait", retry_after_s=40)
    for luck in (0, 0.3, 1):
        assert 40 <= renewal.wait_s(after(state, Act.ISSUE, error=patient), NOW, TERMS, luck) <= 44
    polled = after(held(), Act.POLL, error=RenewalError(Denial.NO_ISSUER, "wait", retry_after_s=100))
    assert renewal.wait_s(polled, NOW, TERMS, 0) == 100
    endless = RenewalError(Denial.TOO_MANY, "wait", retry_after_s=1e12)
    assert renewal.wait_s(after(state, Act.ISSUE, error=endless), NOW, TERMS, 0) == 3600


def test_a_denial_that_lasts_is_not_asked_about_every_few_seconds() -> None:
    lasting = RenewalError(Denial.NOT_OPTED_IN, "no", lasting=True)
    assert renewal.wait_s(after(State(), *[Act.ISSUE] * 99, error=lasting), NOW, TERMS, 1) == 300


def test_another_issuer_is_another() -> None:
    assert renewal.is_replaced(State(), "aa")
    assert not renewal.is_replaced(held(), "aa")
    assert renewal.is_replaced(held(), "bb")


def names(told: Told) -> list[str]:
    return [event.name for event in told[1]]


def test_what_is_told_of_a_new_one() -> None:
    state, (event,) = renewal.issued(GRANTED, NOW, TERMS, 0.5)
    assert event == Event(
        name="certificate_issued",
        facts={
            "generation": 1,
            "issuer_sha256": "aa",
            "not_after": (NOW + DAY).isoformat(),
            "seconds_left": 86_400,
        },
    )
    assert (state.failures, state.trouble, state.warned) == (0, None, False)


def test_a_trouble_is_told_once() -> None:
    state, (event,) = renewal.failed(held(), Act.ISSUE, TROUBLE, NOW + DAY / 2)
    assert event.name == "certificate_renewal_failed"
    assert event.facts == {
        "reason": "service_unreachable",
        "message": "it does not answer",
        "hint": "see",
        "seconds_left": 43_200,
    }
    again = renewal.failed(state, Act.ISSUE, TROUBLE, NOW)
    assert names(again) == []
    other = renewal.failed(again[0], Act.ISSUE, RenewalError(Denial.NO_POD, "no"), NOW)
    assert names(other) == ["certificate_renewal_failed"]
    assert other[0].failures == 3
    assert names(renewal.failed(other[0], Act.POLL, TROUBLE, NOW)) == ["certificate_poll_failed"]
    assert renewal.failed(State(), Act.ISSUE, TROUBLE, NOW)[1][0].facts["seconds_left"] == 0


def test_who_still_signs_ends_the_trouble() -> None:
    state = renewal.polled(after(held(), Act.ISSUE, Act.POLL))
    assert (state.failures, state.trouble) == (0, None)
    assert state.held


def test_an_end_that_is_near_is_told_once() -> None:
    near = NOW + DAY * 5 / 6 + timedelta(seconds=1)
    assert renewal.aged(held(), near - timedelta(seconds=2)) == (held(), ())
    assert renewal.aged(State(), near) == (State(), ())
    state, (event,) = renewal.aged(held(), near)
    assert event.name == "certificate_expiring"
    assert event.facts["seconds_left"] == 14_399
    assert event.facts["reason"] == ""
    assert renewal.aged(state, near) == (state, ())
    _, (event,) = renewal.aged(after(held(), Act.ISSUE), near)
    assert (event.facts["reason"], event.facts["hint"]) == ("service_unreachable", "see")
    assert not renewal.issued(GRANTED, NOW, TERMS, 0)[0].warned


def test_how_it_stands() -> None:
    assert renewal.described(State()) == {"generation": None, "renew_at": None, "last_error": None}
    said = renewal.described(after(held(), Act.POLL))
    assert said["generation"] == 1
    assert said["renew_at"] == (NOW + DAY * 2 / 3).isoformat()
    assert said["last_error"] == {
        "during": "poll",
        "reason": "service_unreachable",
        "message": "it does not answer",
        "hint": "see",
    }


@pytest.mark.parametrize(("value", "poll_s"), [("", 60), ("0.2", 0.2), ("3600", 3600)])
def test_how_often_is_a_setting(value: str, poll_s: float) -> None:
    assert Terms.read({"KECS_SIDECAR_POLL_S": value}).poll_s == poll_s


@pytest.mark.parametrize("value", ["0", "-1", "often", "nan", "inf", "3601"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="KECS_SIDECAR_POLL_S"):
        Terms.read({"KECS_SIDECAR_POLL_S": value})


# any history


@dataclass(frozen=True)
class Step:
    """What the service does next, and by how much the wall clock is moved meanwhile."""

    answers: str
    jump_s: float
    luck: float


STEPS = st.lists(
    st.builds(
        Step,
        answers=st.sampled_from(["good", "another issuer", "away", "wait"]),
        jump_s=st.one_of(st.just(0.0), st.floats(-200_000, 200_000)),
        luck=st.floats(0, 1),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_goes_on(steps: list[Step]) -> None:
    """No wait is endless or none, nothing in use is given up, and each line of the log is news."""
    state, now, told, issuer = State(), NOW, list[Event](), 0
    for step in steps:
        wait = renewal.wait_s(state, now, TERMS, step.luck)
        assert 0 <= wait <= 330
        now += timedelta(seconds=wait + step.jump_s)
        doing = renewal.act(state, now)
        before = state
        error = RenewalError(
            Denial.TOO_MANY if step.answers == "wait" else Reason.SERVICE_UNREACHABLE,
            "no",
            retry_after_s=7 if step.answers == "wait" else 0,
        )
        issuer += step.answers == "another issuer"
        if step.answers in {"away", "wait"}:
            state, events = renewal.failed(state, doing, error, now)
            assert state.held is before.held
            assert renewal.wait_s(state, now, TERMS, 0) > 0 or doing is Act.POLL
        elif doing is Act.POLL and not renewal.is_replaced(state, str(issuer)):
            state, events = renewal.polled(state), (Event(name="polled", facts={}),)  # after which a failure is news
        else:
            state, events = renewal.issued(_valid_at(now, str(issuer)), now, TERMS, step.luck)
            assert renewal.act(state, now) is Act.POLL
        told += events
        state, events = renewal.aged(state, now)
        told += events
    lines = [(event.name, event.facts.get("reason"), event.facts.get("not_after")) for event in told]
    assert all(one != other for one, other in pairwise(lines) if "failed" in one[0])


@dataclass(frozen=True)
class _Certificate:
    not_valid_before_utc: datetime


@dataclass(frozen=True)
class _Signer:
    certificate: _Certificate


@dataclass(frozen=True)
class _Dates:
    """An intermediate as far as its dates go: signing one for each example would take minutes."""

    signer: _Signer
    not_after: datetime


def _valid_at(now: datetime, issuer: str) -> Granted:
    dates: Any = _Dates(signer=_Signer(_Certificate(now - timedelta(minutes=30))), not_after=now + DAY)
    return Granted(intermediate=dates, generation=1, issuer_sha256=issuer)


# the loop


@dataclass
class Script:
    """A service that does what comes next in the script; then it is away."""

    answers: list[Granted | str | Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def issuer(self) -> str:
        found = self._next("issuer")
        assert isinstance(found, str)
        return found

    def intermediate(self, now: datetime) -> Granted:
        assert now == NOW
        found = self._next("intermediate")
        assert isinstance(found, Granted)
        return found

    def _next(self, what: str) -> Granted | str:
        with self.changed:
            self.asked.append(what)
            found = self.answers.pop(0) if self.answers else TROUBLE
            self.changed.notify_all()
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Kept:
    used: list[Intermediate] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        self.told.append((name, facts.get("reason", "")))


def settle(loop: asyncio.AbstractEventLoop) -> None:
    """Have what was handed over done; close the loop."""
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


def turned(script: Script, turns: int) -> tuple[RenewalLoop, Kept]:
    kept, loop = Kept(), asyncio.new_event_loop()
    made = RenewalLoop(script, loop=loop, use=kept.used.append, note=kept.note, clock=lambda: NOW, luck=lambda: 0.5)
    for _ in range(turns):
        made.turn()
    settle(loop)
    return made, kept


def test_the_loop_asks_for_what_is_due() -> None:
    second = granted(issuer="bb")
    script = Script([GRANTED, "aa", "bb", second])
    made, kept = turned(script, 3)
    assert script.asked == ["intermediate", "issuer", "issuer", "intermediate"]
    assert kept.used == [GRANTED.intermediate, second.intermediate]
    assert [name for name, _ in kept.told] == ["certificate_issued"] * 2
    assert dict(made.results) == {"issued": 2}


def test_the_loop_goes_on_with_what_it_has() -> None:
    script = Script([GRANTED, "bb", TROUBLE, "bb", TROUBLE, RuntimeError("a fault"), "aa"])
    made, kept = turned(script, 5)
    assert kept.used == [GRANTED.intermediate]
    assert kept.told == [
        ("certificate_issued", ""),
        ("certificate_renewal_failed", "service_unreachable"),
        ("certificate_poll_failed", "internal"),
    ]
    assert dict(made.results) == {"issued": 1, "service_unreachable": 2}
    assert made.state.trouble is None


def test_the_loop_runs_on_a_thread_until_it_is_stopped() -> None:
    script, kept, loop = Script([GRANTED]), Kept(), asyncio.new_event_loop()
    terms = Terms(poll_s=0.001)
    made = RenewalLoop(script, loop=loop, use=kept.used.append, note=kept.note, clock=lambda: NOW, terms=terms)
    made.stop()  # before it began
    made = RenewalLoop(script, loop=loop, use=kept.used.append, note=kept.note, clock=lambda: NOW, terms=terms)
    made.start()
    with script.changed:
        assert script.changed.wait_for(lambda: script.asked.count("issuer") >= 3, timeout=20)
    made.stop()
    settle(loop)
    assert kept.used == [GRANTED.intermediate]
    assert kept.told == [("certificate_issued", ""), ("certificate_poll_failed", "service_unreachable")]


def test_what_comes_after_the_stop_is_not_used() -> None:
    script, kept, loop = Script([GRANTED]), Kept(), asyncio.new_event_loop()
    made = RenewalLoop(script, loop=loop, use=kept.used.append, note=kept.note, clock=lambda: NOW)
    made.stop()
    made.turn()
    settle(loop)
    assert kept.used == []


def test_a_loop_that_was_closed_meanwhile_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    made = RenewalLoop(Script([GRANTED]), loop=loop, use=lambda _: None, note=Kept().note, clock=lambda: NOW)
    made.turn()
    assert made.results["issued"] == 1
