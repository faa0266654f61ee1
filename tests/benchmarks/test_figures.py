import pytest

from benchmarks.relay.figures import Sample, Spread, absolute, order, paired, spread


def sample(arm: str, number: int, **values: float) -> Sample:
    return Sample(load="small", arm=arm, round=number, values=values)


SAMPLES = [
    sample("peer", 0, rate=100.0),
    sample("ours", 0, rate=90.0),
    sample("ours", 1, rate=20.0),
    sample("peer", 1, rate=20.0),
    sample("peer", 2, rate=200.0),
    sample("ours", 2, rate=220.0),
]


def test_a_share_is_taken_round_by_round_not_of_the_medians() -> None:
    assert paired(SAMPLES, "small", "ours", "peer", "rate") == Spread(median=1.0, low=0.9, high=1.1, rounds=3)
    assert absolute(SAMPLES, "small", "ours", "rate") == Spread(median=90, low=20, high=220, rounds=3)


@pytest.mark.parametrize(
    ("more", "rounds"),
    [
        pytest.param([sample("ours", 3, rate=1.0)], 3, id="the peer was not in this round"),
        pytest.param([sample("ours", 3, rate=1.0), sample("peer", 3)], 3, id="the peer failed"),
        pytest.param([sample("ours", 3, rate=1.0), sample("peer", 3, rate=0.0)], 3, id="the peer did nothing"),
        pytest.param([sample("ours", 3, rate=1.0), sample("peer", 3, rate=1.0)], 4, id="both were"),
    ],
)
def test_only_rounds_that_both_were_in_are_pairs(more: list[Sample], rounds: int) -> None:
    found = paired([*SAMPLES, *more], "small", "ours", "peer", "rate")
    assert found is not None
    assert found.rounds == rounds


def test_what_nobody_measured_has_no_figure() -> None:
    assert spread([]) is None
    assert absolute(SAMPLES, "large", "ours", "rate") is None
    assert paired(SAMPLES, "small", "ours", "nobody", "rate") is None


def test_who_goes_first_changes() -> None:
    assert [order("abc", number) for number in range(3)] == [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]]


def test_a_sample_survives_its_file() -> None:
    kept = Sample(load="small", arm="ours", round=1, values={"rate": 1234.5}, failure="no answer")
    assert Sample.from_json(kept.to_json()) == kept
    assert sample("ours", 0, rate=1234567.89).to_json()["values"] == {"rate": 1234570.0}
