from datetime import timedelta

import pytest
from ecs_lab import NOW

from kecs.controlplane.errands import LAST_RETRY, REPEAT, Errand, retry
from kecs.controlplane.lifecycle import Order

LATER = NOW + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("errand", "order", "expected"),
    [
        pytest.param(Errand(), Order.LAUNCH, True, id="the first order"),
        pytest.param(Errand(), Order.NOTHING, False, id="no order"),
        pytest.param(Errand().taken(Order.LAUNCH, NOW), Order.LAUNCH, False, id="one that was taken"),
        pytest.param(Errand().taken(Order.LAUNCH, NOW), Order.STOP, True, id="another one"),
        pytest.param(Errand().taken(Order.LAUNCH, LATER - REPEAT), Order.LAUNCH, True, id="nothing came of it"),
        pytest.param(Errand().failed(Order.STOP, NOW), Order.STOP, False, id="one that failed"),
        pytest.param(Errand().failed(Order.STOP, NOW - timedelta(seconds=1)), Order.STOP, True, id="failed long ago"),
    ],
)
def test_when_an_order_may_be_given(errand: Errand, order: Order, *, expected: bool) -> None:
    assert errand.may(order, LATER) is expected


def test_failures_in_a_row_wait_longer_each_time_up_to_a_limit() -> None:
    waits = [retry(count).total_seconds() for count in range(1, 9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert retry(10_000) == LAST_RETRY


def test_a_success_and_another_order_begin_anew() -> None:
    errand = Errand().failed(Order.STOP, NOW).failed(Order.STOP, NOW)
    assert errand.failures == 2
    assert errand.taken(Order.STOP, NOW).failures == 0
    assert errand.failed(Order.FORGET, NOW).failures == 1
