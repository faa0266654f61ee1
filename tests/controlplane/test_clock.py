import asyncio
from datetime import UTC, datetime, timedelta

from ecs_lab import NOW

from kecs.controlplane.clock import Clock, RealClock, SteppedClock

A_DAY = timedelta(days=1)


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
