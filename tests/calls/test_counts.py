"""What was counted, as a value."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kecs.calls.counts import Counts
from kecs.calls.metrics import BUCKETS, Tally

NAMES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9))
PAIRS = st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("cd")), st.integers(0, 9))
COUNTS = st.builds(
    lambda calls, events, names, durations: Counts.from_plain(
        {
            "calls": [[*key, count] for key, count in calls.items()],
            "events": [[*key, count] for key, count in events.items()],
            **dict.fromkeys(("verdicts", "failures", "relay", "sums", "now"), names),
            "durations": durations,
            "duration_sum": sum(durations),
        }
    ),
    PAIRS,
    PAIRS,
    NAMES,
    st.lists(st.integers(0, 5), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1),
)


@given(COUNTS)
def test_it_comes_back_as_it_was_spelled(counts: Counts) -> None:
    assert Counts.from_plain(json.loads(json.dumps(counts.plain()))) == counts


@given(COUNTS, COUNTS)
def test_two_are_the_sum_of_both(one: Counts, two: Counts) -> None:
    both = Counts()
    both.add(one)
    both.add(two)
    assert both.calls == one.calls + two.calls
    assert both.relay["a"] == one.relay["a"] + two.relay["a"]
    assert both.now["a"] == one.now["a"] + two.now["a"]
    assert both.durations == [a + b for a, b in zip(one.durations, two.durations, strict=True)]
    assert both.duration_sum == one.duration_sum + two.duration_sum


@given(COUNTS)
def test_of_who_has_ended_nothing_is_open(counts: Counts) -> None:
    total = Counts()
    total.add(counts, ended=True)
    assert total.now == {}
    assert total.sums == counts.sums


def test_it_is_apart_from_what_goes_on_being_counted() -> None:
    tally = Tally()
    tally.connection({"event": "refused", "reason": "x"})
    counts = Counts.of(tally, {"accepted": 1})
    tally.connection({"event": "refused", "reason": "x"})
    tally.durations[0] += 1
    assert counts.events == {("refused", "x"): 1}
    assert sum(counts.durations) == 0


def test_calls_that_are_only_noted_are_counted_by_whoever_reads() -> None:
    tally = Tally()
    tally.note(tally.counter("s3"), 200, 0.25, 7, 11)
    counts = Counts.of(tally, {})
    assert counts.calls == {("s3", "200"): 1}
    assert (sum(counts.durations), counts.duration_sum) == (1, 0.25)
    assert (counts.sums["bytes_in"], counts.sums["bytes_out"]) == (7, 11)
    assert Counts.of(tally, {}) == counts


def test_noted_calls_do_not_pile_up() -> None:
    tally = Tally()
    for number in range(1, 1_000):
        tally.note(tally.counter("s3"), 200, 0.25, 0, 0)
        assert number - sum(tally.durations) < 100
