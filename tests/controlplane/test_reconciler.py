"""The reconciler on a clock that is moved, with a runtime that does what it is told, or what it was not."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from ecs_lab import NOW
from runtime_lab import ScriptedRuntime
from tasks_lab import CLUSTER, NETWORK, Rig, container, definition, rig, run

from kecs.controlplane.clock import SteppedClock
from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.reconciler import Keeping
from kecs.controlplane.records import ContainerInstance, Task, TaskDefinition
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Node, Sighting
from kecs.controlplane.state import Changes
from kecs.controlplane.tasks import TaskWish, new_task

WEB = definition(container("app"), networkMode="awsvpc", compatibilities=["EC2", "FARGATE"])


def fargate(one: Rig, web: TaskDefinition = WEB) -> Task:
    wish = TaskWish(launch_type="FARGATE", network=NETWORK)
    return new_task(cluster=CLUSTER, definition=web, wish=wish, now=one.clock.now(), ids=one.ids)


async def begun(one: Rig, count: int = 1) -> list[Task]:
    """Return new tasks, kept with their cluster and definition."""
    made = [fargate(one) for _ in range(count)]
    await one.keep(CLUSTER, WEB, *made)
    return made


async def stop(one: Rig, task: Task) -> None:
    await one.call("StopTask", {"task": task.arn})


def test_a_task_is_launched_stopped_and_forgotten_once_each() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.becomes("RUNNING", task.arn)
            await stop(one, task)
            [ended] = await one.becomes("STOPPED", task.arn)
            assert runtime.orders(task.arn) == ["launch", "stop", "forget"]
            assert ended.containers[0].exit_code == 143
            told = [fields["to"] for name, fields in one.log if name == "task_status"]
            assert told[-4:] == ["RUNNING", "STOPPING", "DEPROVISIONING", "STOPPED"]
            assert one.reconciler.health().ok

    run(scene)


def test_a_task_that_is_stopped_before_it_was_launched_never_is() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        runtime.unreachable = ConnectionError("no")
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await stop(one, task)
            await one.settle()
            assert one.task(task.arn).last_status is TaskStatus.STOPPING
            runtime.unreachable = None
            [ended] = await one.becomes("STOPPED", task.arn)
            assert runtime.orders(task.arn) == ["stop"]
            assert ended.started_at is None

    run(scene)


def test_an_order_that_fails_is_given_again_and_the_others_do_not_wait() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        runtime.faults = [OSError("the API server is away")] * 3
        async with rig(runtime=lambda *_: runtime) as one:
            tasks = await begun(one, 5)
            await one.becomes("RUNNING", *(task.arn for task in tasks))
            health = one.reconciler.health()
            assert health.counts["launch_failed"] == 3
            assert health.counts["launch"] == 5
            assert health.ok
            assert one.clock.now() < NOW + timedelta(seconds=5)

    run(scene)


def test_what_failed_is_told_until_it_succeeds() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        runtime.faults = [OSError("away")] * 4
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.until(lambda: len(runtime.faults) < 4)
            assert one.reconciler.health().errors == {"orders": "launch: away"}
            assert not one.reconciler.health().ok
            await one.becomes("RUNNING", task.arn)
            assert one.reconciler.health().errors == {}

    run(scene)


def test_an_order_that_nothing_came_of_is_repeated() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        runtime.there = _Forgetful()
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.until(lambda: len(runtime.orders(task.arn)) == 3)
            assert one.clock.now() >= NOW + timedelta(seconds=120)
            assert one.task(task.arn).last_status is TaskStatus.PROVISIONING

    run(scene)


class _Forgetful(dict[str, Sighting]):
    """Whatever is put there is not, and nobody is told."""

    def __contains__(self, key: object) -> bool:
        return True


def test_tasks_keep_their_state_while_the_runtime_is_not_reached() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.becomes("RUNNING", task.arn)
            runtime.breaks(ConnectionError("the API server is away"))
            await one.until(lambda: not one.reconciler.health().synced)
            await one.until(lambda: one.reconciler.health().counts["runtime_failed"] > 3)
            health = one.reconciler.health()
            assert health.errors == {"runtime": "the API server is away"}
            assert one.task(task.arn).last_status is TaskStatus.RUNNING
            [later] = await begun(one)
            await one.settle()
            assert runtime.orders(later.arn) == []
            assert [name for name, _ in one.log if name == "runtime_failed"] == ["runtime_failed"]
            runtime.unreachable = None
            await one.becomes("RUNNING", later.arn)
            assert one.task(task.arn).last_status is TaskStatus.RUNNING
            assert one.reconciler.health().ok

    run(scene)


def test_what_went_while_nobody_looked_is_gone() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            stays, goes = await begun(one, 2)
            await one.becomes("RUNNING", stays.arn, goes.arn)
            runtime.vanishes(goes.arn, silently=True)
            runtime.breaks(ConnectionError("away"), for_now=True)
            [ended] = await one.becomes("STOPPED", goes.arn)
            assert ended.stop_code == "EssentialContainerExited"
            assert one.task(stays.arn).last_status is TaskStatus.RUNNING

    run(scene)


def test_what_goes_with_its_machine_says_so() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.becomes("RUNNING", task.arn)
            del runtime.nodes["node-a"]
            runtime.vanishes(task.arn, silently=True)
            runtime.tell_all()
            runtime.tell_all()
            [ended] = await one.becomes("STOPPED", task.arn)
            assert ended.stop_code == "InfrastructureHealth"

    run(scene)


def test_a_reconciler_that_comes_back_finds_tasks_as_they_are(tmp_path: Any) -> None:
    runtime = ScriptedRuntime(at_once=False)
    clock = SteppedClock(NOW)
    stranger = "arn:aws:ecs:us-east-1:000000000000:task/default/stranger"

    async def before() -> list[Task]:
        async with rig(tmp_path / "store", runtime=lambda *_: runtime, clock=clock) as one:
            tasks = await begun(one, 3)
            for task in tasks[:2]:
                await one.until(partial(runtime.orders, task.arn))
                runtime.runs(task)
            await one.becomes("RUNNING", tasks[0].arn, tasks[1].arn)
            await one.until(lambda: one.task(tasks[2].arn).seen)
            return tasks

    async def after(tasks: list[Task]) -> None:
        runs, went, waits = tasks
        async with rig(tmp_path / "store", runtime=lambda *_: runtime, clock=clock) as one:
            await one.becomes("STOPPED", went.arn)
            runtime.runs(waits)
            await one.becomes("RUNNING", runs.arn, waits.arn)
            assert runtime.orders(runs.arn) == ["launch"]
            assert runtime.orders(waits.arn) == ["launch"]
            await one.until(lambda: stranger not in runtime.there)

    tasks = run(before)
    runtime.vanishes(tasks[1].arn, silently=True)
    runtime.there[stranger] = Sighting(task_arn=stranger, node="node-a")
    run(lambda: after(tasks))
    assert runtime.orders(stranger) == ["forget"]


def test_a_task_that_was_never_seen_is_launched_after_a_restart(tmp_path: Any) -> None:
    lost = ScriptedRuntime()
    lost.unreachable = ConnectionError("away")

    async def before() -> Task:
        async with rig(tmp_path / "store", runtime=lambda *_: lost) as one:
            [task] = await begun(one)
            return task

    async def after(task: Task) -> None:
        async with rig(tmp_path / "store", runtime=lambda *_: ScriptedRuntime()) as one:
            await one.becomes("RUNNING", task.arn)

    task = run(before)
    run(lambda: after(task))


def test_one_task_s_fault_stops_no_other() -> None:
    async def scene() -> None:
        async with rig(runtime=lambda *_: ScriptedRuntime()) as one:
            orphan = fargate(one, definition(family="nobody"))
            await one.keep(CLUSTER, WEB, orphan)
            [task] = await begun(one)
            await one.becomes("RUNNING", task.arn)
            assert one.reconciler.health().counts["tasks_failed"] >= 1
            [(_, fields)] = [event for event in one.log if event[0] == "tasks_failed"][:1]
            assert fields["subject"] == orphan.arn
            assert "has no definition" in fields["error"]

    run(scene)


def test_what_can_t_be_kept_of_one_task_keeps_no_other_waiting() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            ill, well = await begun(one, 2)
            await one.becomes("RUNNING", ill.arn, well.arn)
            runtime.see(Sighting(task_arn=ill.arn, node="node-a", failure="half a character: \ud83d"))
            runtime.ends(well, 3)
            await one.becomes("STOPPED", well.arn)
            await one.until(lambda: one.reconciler.health().counts["store_failed"] > 1)
            assert "can't be kept" in one.reconciler.health().errors["store"]
            [later] = await begun(one)
            await one.becomes("RUNNING", later.arn)
            runtime.ends(ill, 4)
            await one.becomes("STOPPED", ill.arn)
            assert one.reconciler.health().ok

    run(scene)


def test_a_store_that_keeps_nothing_is_waited_for() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            [task] = await begun(one)
            await one.becomes("RUNNING", task.arn)
            runtime.see(Sighting(task_arn=task.arn, node="node-a", failure="\ud83d"))
            await one.until(lambda: one.reconciler.health().counts["store_failed"] > 5)
            assert one.clock.now() - NOW > timedelta(seconds=10)
            assert one.task(task.arn).last_status is TaskStatus.RUNNING

    run(scene)


def test_a_runtime_that_tells_nothing_any_more_is_asked_again() -> None:
    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime) as one:
            await one.until(lambda: one.reconciler.health().synced)
            runtime.stops_telling()
            await one.until(lambda: one.reconciler.health().counts["runtime_failed"] == 1)
            await one.until(lambda: one.reconciler.health().ok)
            told = [fields["error"] for name, fields in one.log if name == "runtime_failed"]
            assert told == ["the runtime tells nothing any more"]

    run(scene)


def test_keepers_are_asked_when_something_changed_and_now_and_then() -> None:
    asked: list[tuple[Any, bool]] = []

    def counting(keeping: Keeping) -> Changes:
        asked.append((keeping.now, keeping.synced))
        return Changes()

    def failing(_keeping: Keeping) -> Changes:
        raise ValueError("a keeper's fault")

    def instances(keeping: Keeping) -> Changes:
        return kept_instances(keeping.state, keeping.nodes, synced=keeping.synced, now=keeping.now, ids=keeping.ids)

    async def scene() -> None:
        runtime = ScriptedRuntime()
        async with rig(runtime=lambda *_: runtime, keepers=(failing, counting, instances)) as one:
            await one.keep(CLUSTER)
            await one.until(lambda: one.store.state.count(ContainerInstance) == 1)
            assert asked[-1][1]
            before = len(asked)
            await one.until(lambda: len(asked) >= before + 2)
            assert one.clock.now() >= NOW + timedelta(seconds=30)
            assert one.reconciler.health().errors["keepers"] == "a keeper's fault"
            runtime.nodes["node-b"] = Node(name="node-b", cpu=1024, memory=1024)
            runtime.tell_all()
            await one.until(lambda: one.store.state.count(ContainerInstance) == 2)

    run(scene)


def test_a_keeper_that_lets_go_of_something_is_asked_for_more_at_once() -> None:
    def one_at_a_time(keeping: Keeping) -> Changes:
        return Changes(delete=tuple(keeping.state.every(TaskDefinition))[:1])

    async def scene() -> None:
        async with rig(runtime=lambda *_: ScriptedRuntime(), keepers=(one_at_a_time,)) as one:
            await one.settle()
            await one.keep(*(definition(family=f"f{n}") for n in range(5)), CLUSTER)
            async with asyncio.timeout(60):
                while one.store.state.count(TaskDefinition):
                    await one.settle()
            assert one.clock.now() == NOW

    run(scene)


def test_a_task_on_a_machine_tells_which_it_is() -> None:
    async def scene() -> None:
        def instances(keeping: Keeping) -> Changes:
            return kept_instances(keeping.state, keeping.nodes, synced=keeping.synced, now=keeping.now, ids=keeping.ids)

        async with rig(runtime=lambda *_: ScriptedRuntime(), keepers=(instances,)) as one:
            await one.keep(CLUSTER)
            await one.until(lambda: one.store.state.count(ContainerInstance) == 1)
            [instance] = one.store.state.every(ContainerInstance)
            plain = definition(family="plain")
            made = new_task(cluster=CLUSTER, definition=plain, wish=TaskWish(), now=one.clock.now(), ids=one.ids)
            await one.keep(plain, made)
            [found] = await one.becomes("RUNNING", made.arn)
            assert found.container_instance_arn == instance.arn

    run(scene)


@pytest.mark.parametrize("count", [1, 500])
def test_it_ends_when_it_is_told_to(count: int) -> None:
    async def scene() -> None:
        async with rig(runtime=lambda *_: ScriptedRuntime(at_once=False)) as one:
            await begun(one, count)
            await asyncio.sleep(0)
        left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        assert left == []

    run(scene)
