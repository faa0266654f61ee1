"""How often in a row a part is started again, and what is said."""

import pytest

from kecs.local.restarts import STEADY_S, WAITS_S, Streak, told


def test_the_waits_of_a_streak_and_its_end() -> None:
    streak, waits = Streak(), []
    while (streak := streak.after(0.0)).wait_s is not None:
        waits.append(streak.wait_s)
    assert tuple(waits) == WAITS_S
    assert waits[0] == 0.0  # the first end costs nobody a wait
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("up_s", "ends"),
    [
        pytest.param(0.0, 4, id="never ready"),
        pytest.param(STEADY_S - 0.1, 4, id="not for long"),
        pytest.param(STEADY_S, 1, id="a new streak"),
    ],
)
def test_who_was_up_for_long_begins_a_new_streak(up_s: float, ends: int) -> None:
    assert Streak(ends=3).after(up_s) == Streak(ends=ends)


@pytest.mark.parametrize(
    ("ends", "beginning"),
    [
        (1, "the emulator ended with code 1 and is started again: buckets, "),
        (2, "the emulator ended with code 1 and is started again in 0.5 s (2 of 5 in a row): buckets, "),
        (5, "the emulator ended with code 1 and is started again in 4 s (5 of 5 in a row): buckets, "),
    ],
)
def test_what_is_told_each_time(ends: int, beginning: str) -> None:
    text = told("emulator", "ended with code 1", Streak(ends=ends))
    assert text.startswith(beginning)
    assert text.endswith("held in memory, are lost; the state of ECS is kept")
