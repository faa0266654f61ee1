"""What a status says, from values: what comes next, how long is left, who is waited for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import Kind
from kecs.certs.outcome import State, Step, Workload
from kecs.certs.rotation import Scope, create, prepare, retire, switch
from kecs.certs.state import Authority, Phase
from kecs.cli.certs_status import as_data, lines, next_step, status

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SCOPE = Scope(permitted=("amazonaws.com",))


def step(outcome: object) -> State:
    assert isinstance(outcome, Step)
    return outcome.state


def states() -> dict[str, State]:
    first = create(SCOPE, NOW)
    prepared = step(prepare(first, NOW, SCOPE))
    switched = step(switch(prepared, NOW, SCOPE))
    return {"first": first, "prepared": prepared, "switched": switched, "retired": step(retire(switched, NOW))}


STATES = states()
OLD = Workload(name="1 (`old`)", kind="run", trusted=STATES["first"].authority.trust_sha256)
NEW = Workload(name="2 (`new`)", kind="run", trusted=STATES["switched"].authority.trust_sha256)
FOREIGN = Workload(name="3 (`foreign`)", kind="run", trusted=("f" * 64,))


def authority(name: str) -> Authority:
    return STATES[name].authority


@pytest.mark.parametrize(
    ("name", "workloads", "sentence"),
    [
        pytest.param("first", (OLD,), "nothing is under way", id="stable"),
        pytest.param(
            "retired", (OLD,), "nothing is under way; 1 workload must be restarted to trust it", id="retired by force"
        ),
        pytest.param("prepared", (OLD, NEW), "switch: the new generation is to sign", id="prepared"),
        pytest.param(
            "switched",
            (OLD, FOREIGN, NEW),
            "retire waits for 2 workloads: the newest root is not trusted there",
            id="switched, and needed",
        ),
        pytest.param("switched", (NEW,), "retire: nobody needs the old root any more", id="switched, and not needed"),
    ],
)
def test_what_comes_next(name: str, workloads: tuple[Workload, ...], sentence: str) -> None:
    assert next_step(status(authority(name), workloads, place="here", now=NOW)) == sentence


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("first", [("root", 1, 1), ("issuer", 1, None)]),
        ("prepared", [("root", 2, 1), ("root", 1, 2), ("issuer", 1, None)]),
        ("switched", [("root", 2, 1), ("issuer", 2, None), ("cross", 2, None), ("root", 1, 2)]),
        ("retired", [("root", 2, 1), ("issuer", 2, None), ("cross", 2, None)]),
    ],
)
def test_what_exists_and_who_trusts_it(name: str, rows: list[tuple[str, int, int | None]]) -> None:
    workloads = (OLD,) if name == "first" else (OLD, NEW)
    found = status(authority(name), workloads, place="here", now=NOW)
    assert [(row.kind.value, row.generation, row.workloads) for row in found.rows] == rows
    data = as_data(found)
    assert [row["days_left"] for row in data["certificates"] if row["kind"] == Kind.ISSUER] == [90]


@pytest.mark.parametrize(
    ("after", "left", "style"),
    [
        (timedelta(), "90 d", ""),
        (timedelta(days=61), "29 d", "yellow"),
        (timedelta(days=84), "6 d", "red"),
        (timedelta(days=88, minutes=1), "47 h", "red"),
        (timedelta(days=91), "ended", "red"),
    ],
)
def test_how_long_is_left(after: timedelta, left: str, style: str) -> None:
    found = lines(status(authority("first"), (), place="here", now=NOW + after))
    (issuer,) = [line for line in found if " issuer " in line.text]
    assert issuer.text.endswith(left)
    assert issuer.style == style


@given(name=st.text(min_size=1, max_size=200), phase=st.sampled_from(list(STATES)), place=st.just("here"))
def test_no_name_makes_a_line_too_long(name: str, phase: str, place: str) -> None:
    plain = "".join(letter for letter in name if letter.isprintable()) or "x"
    workloads = [replace(one, name=plain) for one in (OLD, NEW, FOREIGN)]
    found = lines(status(authority(phase), workloads, place=place, now=NOW))
    assert max(len(line.text) for line in found) <= 80


@pytest.mark.parametrize(
    ("name", "old_ends", "new_ends"),
    [("retired", "  none  restart it", "  2"), ("switched", "  1  waited for", "  1, 2")],
)
def test_who_needs_the_old_root_is_marked(name: str, old_ends: str, new_ends: str) -> None:
    found = lines(status(authority(name), (OLD, NEW), place="here", now=NOW))
    assert (found[-2].text.endswith(old_ends), found[-1].text.endswith(new_ends)) == (True, True)


def test_phases_of_the_lab_are_what_they_are_called() -> None:
    assert [authority(name).phase for name in STATES] == [Phase.STABLE, Phase.PREPARED, Phase.SWITCHED, Phase.STABLE]
