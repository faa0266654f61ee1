"""How often the engine's process is started again."""

import pytest

from kecs.sidecar.engine_backoff import Backoff

UNSTARTED = -1.0


def test_one_that_serves_and_dies_is_started_again_ever_more_slowly() -> None:
    backoff = Backoff()
    waits = [backoff.failed(float(now), served_s=1.0) for now in range(9)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert not any(backoff.refuses(float(now)) for now in range(20))


def test_one_that_served_for_long_is_started_again_at_once() -> None:
    backoff = Backoff()
    for now in range(5):
        backoff.failed(float(now), served_s=1.0)
    assert backoff.failed(100.0, served_s=60.0) == 0.0
    assert backoff.failures == 1


def test_one_that_does_not_start_is_done_without_for_a_time_and_tried_again() -> None:
    backoff = Backoff()
    assert [backoff.failed(0.0, served_s=UNSTARTED) for _ in range(2)] == [0.0, 0.25]
    assert not backoff.refuses(0.0)
    now = 0.0
    for expected in (5.0, 10.0, 20.0, 40.0, 60.0, 60.0):
        assert backoff.failed(now, served_s=UNSTARTED) == expected
        assert backoff.refuses(now)
        assert backoff.refuses(now + expected - 0.1)
        assert not backoff.refuses(now + expected)
        now += expected


def test_one_that_starts_after_all_is_trusted_again() -> None:
    backoff = Backoff()
    for _ in range(4):
        backoff.failed(0.0, served_s=UNSTARTED)
    assert backoff.failed(100.0, served_s=10.0) == 0.0
    assert not backoff.refuses(100.0)
    assert backoff.failed(101.0, served_s=UNSTARTED) == 0.25


@pytest.mark.parametrize("served_s", [UNSTARTED, 0.0])
def test_the_wait_stays_bounded(served_s: float) -> None:
    backoff = Backoff()
    assert max(backoff.failed(0.0, served_s=served_s) for _ in range(5000)) <= 60.0
