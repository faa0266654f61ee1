from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.limits import Limiter


def test_a_burst_then_one_by_one() -> None:
    limiter = Limiter(burst=3, refill_s=60)
    assert [limiter.take("a", 0) for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a", 0) == 60
    assert limiter.take("a", 45) == 15
    assert limiter.take("a", 60) == 0
    assert limiter.take("a", 60) == 60


def test_pods_do_not_share() -> None:
    limiter = Limiter(burst=1)
    assert [limiter.take(key, 0) for key in "abc"] == [0, 0, 0]


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limiter = Limiter(burst=1, refill_s=60)
    assert limiter.take("a", 1000) == 0
    assert limiter.take("a", 0) == 60


def test_memory_is_bounded() -> None:
    limiter = Limiter(burst=1, kept=100)
    for number in range(1000):
        limiter.take(str(number), 0)
    assert len(limiter._buckets) == 100


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200).map(sorted))
def test_never_more_than_burst_and_refill(times: list[float]) -> None:
    limiter = Limiter(burst=5, refill_s=10)
    granted = sum(limiter.take("a", at) == 0 for at in times)
    assert granted <= 5 + (times[-1] - times[0]) / 10 + 1e-6
