"""Simulated tasks that never start: they end, whole, with why."""

import pytest
from tasks_lab import CLUSTER, NETWORK, Json, container, definition, rig, run

from kecs.controlplane.records.tasks import ContainerStatus, StopCode
from kecs.controlplane.tasks import TaskWish, new_task


def simulated(said: str) -> Json:
    return container("app", environment=[{"name": "KECS_SIMULATE", "value": said}])


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        pytest.param(simulated('{"pullFailure": "gone"}'), "CannotPullContainerError: gone", id="no image"),
        pytest.param(simulated('{"startFailure": "odd"}'), "CannotStartContainerError: odd", id="no start"),
        pytest.param(simulated("what?"), "ResourceInitializationError: KECS_SIMULATE is no JSON", id="no sense"),
    ],
)
def test_a_task_that_can_t_start_stops(app: Json, reason: str) -> None:
    async def scene() -> None:
        web = definition(app, container("side"), networkMode="awsvpc", compatibilities=["EC2", "FARGATE"])
        async with rig() as one:
            wish = TaskWish(launch_type="FARGATE", network=NETWORK)
            task = new_task(cluster=CLUSTER, definition=web, wish=wish, now=one.clock.now(), ids=one.ids)
            await one.keep(CLUSTER, web, task)
            [ended] = await one.becomes("STOPPED", task.arn)
            assert ended.stop_code is StopCode.TASK_FAILED_TO_START
            assert ended.stopped_reason.startswith(reason)
            assert ended.started_at is None
            told = {(found.status, found.exit_code) for found in ended.containers}
            assert told == {(ContainerStatus.STOPPED, None)}

    run(scene)
