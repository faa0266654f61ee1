from datetime import timedelta

from ecs_lab import NOW
from hypothesis import given
from hypothesis import strategies as st

from kecs.controlplane.agenda import Agenda


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_each_is_looked_at_once_the_longest_waiting_first() -> None:
    agenda = Agenda()
    for key in "abcab":
        agenda.add(key)
    assert bool(agenda)
    assert agenda.take(2, NOW) == ["a", "b"]
    assert agenda.take(2, NOW) == ["c"]
    assert not bool(agenda)


def test_what_is_for_later_waits_for_its_time() -> None:
    agenda = Agenda()
    agenda.at("a", NOW + after(2))
    agenda.at("b", NOW + after(1))
    assert (agenda.take(9, NOW), agenda.next) == ([], NOW + after(1))
    assert (agenda.take(9, NOW + after(1)), agenda.next) == (["b"], NOW + after(2))
    assert (agenda.take(9, NOW + after(5)), agenda.next) == (["a"], None)


def test_the_earlier_time_holds() -> None:
    agenda = Agenda()
    agenda.at("a", NOW + after(5))
    agenda.at("a", NOW + after(1))
    agenda.at("a", NOW + after(9))
    assert (agenda.next, agenda.take(9, NOW + after(1)), agenda.next) == (NOW + after(1), ["a"], None)
    assert agenda.take(9, NOW + after(10)) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=20))
def test_nothing_that_is_due_is_left(wishes: list[tuple[str, int]]) -> None:
    agenda = Agenda()
    for key, seconds in wishes:
        agenda.at(key, NOW + after(seconds))
    first: dict[str, int] = {}
    for key, seconds in wishes:
        first[key] = min(seconds, first.get(key, seconds))
    for now in range(21):
        assert set(agenda.take(9, NOW + after(now))) == {key for key, seconds in first.items() if seconds == now}
    assert agenda.next is None
