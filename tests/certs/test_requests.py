"""Requests and reports: what is read, what is refused, and what is left to do, as tables."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from certs_lab import SCOPE
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.outcome import Action, State, Step, Workload
from kecs.certs.requests import (
    Before,
    Report,
    Request,
    Stage,
    Wish,
    automatic,
    left,
    sentence,
)
from kecs.certs.rotation import create, prepare, renew_issuer, retire, switch
from kecs.certs.state import Authority, Phase
from kecs.core.errors import AuthorityError

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def stepped(outcome: object) -> State:
    assert isinstance(outcome, Step)
    return outcome.state


FIRST = create(SCOPE, NOW)
PREPARED = stepped(prepare(FIRST, NOW, SCOPE))
SWITCHED = stepped(switch(PREPARED, NOW, SCOPE))
RETIRED = stepped(retire(SWITCHED, NOW))
RENEWED = stepped(renew_issuer(FIRST, NOW, SCOPE))
NEXT_PREPARED = stepped(prepare(RETIRED, NOW, SCOPE))


def before(state: State) -> Before:
    return Before.of(state.authority)


@pytest.mark.parametrize("wish", Wish)
@pytest.mark.parametrize("flags", [{}, {"force": True}, {"wait": True}], ids=str)
def test_a_request_reads_as_it_was_written(wish: Wish, flags: dict[str, bool]) -> None:
    request = Request(id="x", wish=wish, **flags)
    assert Request.parse(request.spell()) == request
    assert request.waits is (wish is Wish.ROTATE or "wait" in flags)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("{", "no JSON object", id="no JSON"),
        pytest.param("[]", "no JSON object", id="a list"),
        pytest.param("[" * 100_000, "no JSON object", id="deep"),
        pytest.param('{"id": "a"}', "no JSON object", id="no action"),
        pytest.param('{"id": 1, "action": "rotate"}', "id is 1", id="a number as id"),
        pytest.param(json.dumps({"id": "x" * 129, "action": "rotate"}), "id is", id="a long id"),
        pytest.param('{"id": "a", "action": "dance"}', "action is 'dance'", id="an unknown action"),
        pytest.param('{"id": "a", "action": ["rotate"]}', "action is", id="a list as action"),
        pytest.param('{"id": "a", "action": "rotate", "wait": "yes"}', "wait of the request is 'yes'", id="a flag"),
    ],
)
def test_what_is_no_request_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(AuthorityError, match="request") as caught:
        Request.parse(text)
    assert complaint in caught.value.message
    assert caught.value.hint


@given(st.text() | st.dictionaries(st.text(), st.integers() | st.text() | st.none()).map(json.dumps))
def test_whatever_is_written_there_is_read_or_refused(text: str) -> None:
    Report.parse(text)
    try:
        Request.parse(text)
    except AuthorityError:
        return


def test_a_report_reads_as_it_was_written() -> None:
    report = Report(
        id="x",
        stage=Stage.WAITING,
        wish="rotate",
        before=before(FIRST),
        steps=("prepare: done",),
        reasons=("old_root_only",),
        workloads=(Workload(name="demo/a", kind="pod", trusted=()),),
        phase="switched",
        until="2026-11-21T12:00:00Z",
    )
    assert Report.parse(report.spell()) == report
    assert (report.is_over, replace(report, stage=Stage.DONE).is_over) == (False, True)
    bare = Report(id="x", stage=Stage.RUNNING)
    assert Report.parse(bare.spell()) == bare


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"id": "x"}',
        '{"id": "x", "state": "lost"}',
        '{"id": "x", "state": "done", "before": 5}',
        '{"id": "x", "state": "done", "before": {"generation": Infinity, "phase": "stable"}}',
    ],
)
def test_what_is_no_report_is_none(text: str) -> None:
    assert Report.parse(text) is None


def test_a_report_stays_small() -> None:
    many = tuple(Workload(name=f"n/{number}", kind="pod", trusted=("a" * 64,)) for number in range(5000))
    assert len(Report(id="x", stage=Stage.WAITING, workloads=many).spell()) < 16384


def test_a_step_is_said_once() -> None:
    report = Report(id="x", stage=Stage.RUNNING).with_step("a").with_step("b").with_step("a")
    assert report.steps == ("a", "b")


@pytest.mark.parametrize(
    ("wish", "taken_up", "now", "expected"),
    [
        pytest.param(Wish.ROTATE, FIRST, FIRST, Action.PREPARE, id="rotate: begin"),
        pytest.param(Wish.ROTATE, FIRST, PREPARED, Action.SWITCH, id="rotate: prepared"),
        pytest.param(Wish.ROTATE, FIRST, SWITCHED, Action.RETIRE, id="rotate: switched"),
        pytest.param(Wish.ROTATE, FIRST, RETIRED, None, id="rotate: done"),
        pytest.param(Wish.ROTATE, PREPARED, RETIRED, None, id="rotate what was prepared: done"),
        pytest.param(Wish.ROTATE, SWITCHED, RETIRED, None, id="rotate what was switched: done"),
        pytest.param(Wish.ROTATE, FIRST, NEXT_PREPARED, Action.SWITCH, id="rotate: somebody prepared another"),
        pytest.param(Wish.ROTATE, FIRST, None, None, id="rotate: unreadable"),
        pytest.param(Wish.PREPARE, FIRST, FIRST, Action.PREPARE, id="prepare"),
        pytest.param(Wish.SWITCH, FIRST, FIRST, Action.SWITCH, id="switch"),
        pytest.param(Wish.RETIRE, FIRST, FIRST, Action.RETIRE, id="retire"),
        pytest.param(Wish.EMERGENCY, FIRST, FIRST, Action.EMERGENCY, id="emergency"),
        pytest.param(Wish.EMERGENCY, FIRST, None, Action.EMERGENCY, id="emergency: unreadable"),
        pytest.param(Wish.EMERGENCY, FIRST, RETIRED, None, id="emergency: done"),
        pytest.param(Wish.RENEW, FIRST, FIRST, Action.RENEW, id="renew"),
        pytest.param(Wish.RENEW, FIRST, RENEWED, None, id="renew: done"),
        pytest.param(Wish.IMPORT, FIRST, FIRST, None, id="import is no act"),
    ],
)
def test_what_is_left(wish: Wish, taken_up: State, now: State | None, expected: Action | None) -> None:
    assert left(wish, before(taken_up), now.authority if now else None) is expected


def test_a_rotation_that_others_went_beyond_is_over() -> None:
    beyond = replace(NEXT_PREPARED.authority, generation=3)
    assert left(Wish.ROTATE, before(FIRST), beyond) is None


def aged(state: State, share: float) -> datetime:
    root = state.authority.root
    return root.not_valid_before_utc + (root.not_valid_after_utc - root.not_valid_before_utc) * share


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        pytest.param(FIRST, aged(FIRST, 0.66), None, id="young"),
        pytest.param(FIRST, aged(FIRST, 0.68), (Wish.ROTATE, "auto-2-"), id="old"),
        pytest.param(PREPARED, aged(PREPARED, 0.66), None, id="young, prepared by a person"),
        pytest.param(PREPARED, aged(PREPARED, 0.68), (Wish.ROTATE, "auto-2-"), id="old, prepared"),
        pytest.param(SWITCHED, NOW + timedelta(hours=23), None, id="switched lately"),
        pytest.param(SWITCHED, NOW + timedelta(hours=24), (Wish.RETIRE, "auto-retire-1-"), id="switched for a day"),
    ],
)
def test_what_it_asks_of_itself(state: State, now: datetime, expected: tuple[Wish, str] | None) -> None:
    request = automatic(state.authority, now, 0.67)
    if expected is None:
        assert request is None
        return
    assert request is not None
    assert (request.wish, request.id, request.wait) == (expected[0], f"{expected[1]}{now:%Y%m%d}", True)


@pytest.mark.parametrize(
    ("action", "state", "expected"),
    [
        (Action.PREPARE, PREPARED, "prepare: generation 2 is there; who starts now trusts 1 and 2"),
        (Action.SWITCH, SWITCHED, "switch: generation 2 signs; running sidecars take it up without a restart"),
        (Action.RETIRE, RETIRED, "retire: generation 1 is trusted no more; who starts now trusts 2 alone"),
        (Action.EMERGENCY, FIRST, "emergency: generation 1 replaces all before; what runs trusts it after a restart"),
        (Action.RENEW, RENEWED, "renew: generation 1 has a new issuer"),
    ],
)
def test_sentences(action: Action, state: State, expected: str) -> None:
    assert sentence(action, state.authority, changed=True).startswith(expected)
    assert sentence(action, state.authority, changed=False) == f"{action}: is done already"


def test_before_knows_where_a_rotation_leads() -> None:
    found: list[tuple[Authority, int]] = [
        (FIRST.authority, 2),
        (PREPARED.authority, 2),
        (SWITCHED.authority, 2),
        (RETIRED.authority, 3),
    ]
    assert [Before.of(authority).target for authority, _ in found] == [target for _, target in found]
    assert before(SWITCHED).phase is Phase.SWITCHED
