import asyncio
from datetime import UTC, datetime, timedelta

from ecs_lab import NOW

from kecs.controlplane.clock import Clock, RealClock, SteppedClock

A_DAY = timedelta(days=1)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


class Machine:
    """A machine whose clock somebody sets."""

    def __init__(self) -> None:
        self.wall = SteppedClock(NOW)
        self.steady = SteppedClock(NOW)
        self.clock = RealClock(self._wall, lambda: _ns(self.steady.now()))

    def _wall(self) -> int:
        return _ns(self.wall.now())

    def passes(self, time: timedelta) -> None:
        self.wall.move(time)
        self.steady.move(time)


def _ns(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def test_a_machines_clock_that_goes_forward_is_followed() -> None:
    machine = Machine()
    assert machine.clock.now() == NOW
    machine.passes(MINUTE)
    assert machine.clock.now() == NOW + MINUTE
    machine.wall.move(A_DAY)
    assert machine.clock.now() == NOW + MINUTE + A_DAY == machine.wall.now()


def test_a_clock_that_is_set_back_makes_nothing_due_later_than_a_tenth_and_is_caught_up_with() -> None:
    machine = Machine()
    due = machine.clock.now() + MINUTE
    machine.wall.move(-HOUR)
    assert machine.clock.now() == NOW  # never earlier than before
    before, passed = NOW, timedelta()
    while machine.clock.now() < due:
        machine.passes(SECOND)
        passed += SECOND
        assert machine.clock.now() > before
        before = machine.clock.now()
    assert passed == timedelta(seconds=67)
    machine.passes(10 * HOUR)
    assert machine.clock.now() == machine.wall.now() == NOW + 9 * HOUR + passed
    machine.passes(SECOND)
    assert machine.clock.now() == machine.wall.now()


def test_it_is_waited_for_ours_and_not_for_the_machines() -> None:
    """The machine's clock stands an hour back and does not move: whoever waits for it, waits for ever."""
    machine = Machine()

    async def scene() -> None:
        clock = RealClock(machine._wall)
        machine.wall.move(-HOUR)
        begun = clock.now()
        await clock.sleep_until(begun + timedelta(milliseconds=5))
        assert clock.now() >= begun + timedelta(milliseconds=5)

    asyncio.run(asyncio.wait_for(scene(), 20))


def left(clock: SteppedClock) -> datetime | None:
    return clock.next


def test_the_real_clock_tells_the_time_with_its_zone() -> None:
    before = datetime.now(UTC)
    assert before <= RealClock().now() <= datetime.now(UTC)
    assert RealClock().now().tzinfo is UTC


def test_the_real_clock_waits_for_what_comes_first() -> None:
    async def scene() -> None:
        clock: Clock = RealClock()
        event = asyncio.Event()
        await clock.sleep_until(clock.now() - A_DAY)
        await clock.sleep_until(clock.now() + timedelta(milliseconds=1))
        await clock.wait(event, clock.now() - A_DAY)
        await clock.wait(event, clock.now() + timedelta(milliseconds=1))
        event.set()
        await clock.wait(event, None)
        await clock.wait(event, clock.now() + A_DAY)

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_stepped_clock_stands_still() -> None:
    async def scene() -> list[str]:
        clock = SteppedClock(NOW)
        woken: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep_until(NOW + timedelta(seconds=seconds))
            woken.append(name)

        async with asyncio.TaskGroup() as group:
            for name, seconds in (("late", 3), ("soon", 1), ("now", 0)):
                group.create_task(sleeper(name, seconds))
            await asyncio.sleep(0)
            assert (woken, clock.next) == (["now"], NOW + timedelta(seconds=1))
            clock.move(timedelta(seconds=2))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert (woken, clock.now()) == (["now", "soon"], NOW + timedelta(seconds=2))
            clock.move(timedelta(seconds=2))
        assert left(clock) is None
        return woken

    assert asyncio.run(scene()) == ["now", "soon", "late"]


def test_a_stepped_clock_waits_for_what_comes_first_and_leaves_nothing_behind() -> None:
    async def scene() -> None:
        clock, event = SteppedClock(NOW), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(clock.wait(event, NOW + A_DAY))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert left(clock) == NOW + A_DAY
            event.set()
            await waiting
            assert left(clock) is None
            event.clear()
            waiting = group.create_task(clock.wait(event, NOW + A_DAY))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            clock.move(A_DAY)
        assert left(clock) is None
        event.set()
        await clock.wait(event, None)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(asyncio.wait_for(scene(), 20))
