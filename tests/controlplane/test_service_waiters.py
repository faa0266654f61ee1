"""botocore's own waiters end, on the whole control plane without a cluster: time passes between their looks."""

import asyncio
from datetime import timedelta
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import WaiterError
from botocore.waiter import Waiter
from tasks_lab import Rig, rig, run

from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.reconciler import Keeping
from kecs.controlplane.records import Service, Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes

DEFINITION: dict[str, Any] = {
    "family": "web",
    "containerDefinitions": [{"name": "app", "image": "app:1", "memory": 64}],
}
WHOLE: dict[str, Any] = {"serviceName": "web", "taskDefinition": "web"}


def waiter(name: str, look: Any) -> Waiter:
    """Return a waiter of botocore's model that waits for nothing but its looks."""
    config = botocore.session.Session().get_waiter_model("ecs").get_waiter(name)
    config.delay = 0
    return Waiter(name, config, look)  # type: ignore[arg-type] # the stubs' mapping is this very class


async def wait(lab: Rig, name: str, **params: Any) -> None:
    loop = asyncio.get_running_loop()
    delay = timedelta(seconds=15 if name.startswith("Services") else 6)

    async def look() -> Any:
        end = lab.clock.now() + delay
        await lab.settle()
        while (then := lab.clock.next) is not None and then <= end:
            lab.clock.move(then - lab.clock.now())
            await lab.settle()
        lab.clock.move(end - lab.clock.now())
        await lab.settle()
        return await lab.call("DescribeServices" if name.startswith("Services") else "DescribeTasks", params)

    def from_its_thread(**_: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(look(), loop).result(60)

    await asyncio.to_thread(waiter(name, from_its_thread).wait)


async def begin(lab: Rig, **container: Any) -> None:
    await lab.call("CreateCluster", {"clusterName": "default"})
    await register(lab, **container)


async def register(lab: Rig, **container: Any) -> None:
    [app] = DEFINITION["containerDefinitions"]
    await lab.call("RegisterTaskDefinition", DEFINITION | {"containerDefinitions": [app | container]})


def test_services_become_stable_after_their_creation_and_each_update() -> None:
    async def scene() -> None:
        async with rig() as lab:
            await begin(lab)
            await lab.call("CreateService", {**WHOLE, "desiredCount": 3})
            await wait(lab, "ServicesStable", services=["web"])
            await register(lab, image="app:2")
            await lab.call("UpdateService", {"service": "web", "taskDefinition": "web"})
            await wait(lab, "ServicesStable", services=["web"])
            [found] = (await lab.call("DescribeServices", {"services": ["web"]}))["services"]
            assert found["deployments"][0]["taskDefinition"].endswith("web:2")
            for params in ({"desiredCount": 5}, {"desiredCount": 1}, {"forceNewDeployment": True}, {"desiredCount": 0}):
                await lab.call("UpdateService", {"service": "web", **params})
                await wait(lab, "ServicesStable", services=["web"])

    run(scene)


def test_services_of_none_become_stable() -> None:
    async def scene() -> None:
        async with rig() as lab:
            await begin(lab)
            await lab.call("CreateService", {**WHOLE, "desiredCount": 0})
            await wait(lab, "ServicesStable", services=["web"])
            await lab.until(lambda: "steady state" in "".join(told(lab)))

    run(scene)


def test_a_bad_image_rolls_back_and_the_service_becomes_stable() -> None:
    async def scene() -> None:
        async with rig() as lab:
            await begin(lab)
            breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
            await lab.call("CreateService", {**WHOLE, "desiredCount": 2, "deploymentConfiguration": breaker})
            await wait(lab, "ServicesStable", services=["web"])
            await register(lab, image="nothing.invalid/app:2")
            await lab.call("UpdateService", {"service": "web", "taskDefinition": "web"})
            await wait(lab, "ServicesStable", services=["web"])
            [found] = (await lab.call("DescribeServices", {"services": ["web"]}))["services"]
            assert found["taskDefinition"].endswith("web:1")
            assert any("deployment failed: tasks failed to start." in one for one in told(lab))

    run(scene)


def test_services_become_inactive_after_their_deletion() -> None:
    async def scene() -> None:
        async with rig() as lab:
            await begin(lab)
            await lab.call("CreateService", {**WHOLE, "desiredCount": 2})
            await wait(lab, "ServicesStable", services=["web"])
            await lab.call("DeleteService", {"service": "web", "force": True})
            await wait(lab, "ServicesInactive", services=["web"])
            with pytest.raises(WaiterError, match="terminal failure"):
                await wait(lab, "ServicesStable", services=["web"])
            with pytest.raises(WaiterError, match="terminal failure"):
                await wait(lab, "ServicesInactive", services=["none"])

    run(scene)


def test_a_services_tasks_run_and_stop_for_waiters() -> None:
    async def scene() -> None:
        async with rig() as lab:
            await begin(lab)
            await lab.call("CreateService", {**WHOLE, "desiredCount": 2})
            await lab.until(lambda: len(tasks(lab)) == 2)
            found = (await lab.call("ListTasks", {"serviceName": "web"}))["taskArns"]
            assert sorted(found) == sorted(tasks(lab))
            await wait(lab, "TasksRunning", tasks=found)
            await lab.call("UpdateService", {"service": "web", "desiredCount": 0})
            await wait(lab, "TasksStopped", tasks=found)

    run(scene)


def told(lab: Rig) -> list[str]:
    [found] = lab.store.state.every(Service)
    return [one.message for one in found.events]


def tasks(lab: Rig) -> list[str]:
    [found] = lab.store.state.every(Service)
    return [one.arn for one in lab.store.state.tasks_of_service(found.arn)]


def machines(keeping: Keeping) -> Changes:
    return kept_instances(keeping.state, keeping.nodes, synced=keeping.synced, now=keeping.now, ids=keeping.ids)


def test_a_drained_machine_loses_its_tasks_and_the_service_becomes_stable_elsewhere() -> None:
    async def scene() -> None:
        async with rig(keepers=[machines]) as lab:
            await begin(lab)
            await lab.call("CreateService", {**WHOLE, "desiredCount": 6})
            await wait(lab, "ServicesStable", services=["web"])
            drained = running(lab)[0].container_instance_arn
            assert drained
            params = {"cluster": "default", "containerInstances": [drained], "status": "DRAINING"}
            await lab.call("UpdateContainerInstancesState", params)
            await lab.until(lambda: drained not in {one.container_instance_arn for one in running(lab)})
            await wait(lab, "ServicesStable", services=["web"])
            assert len(running(lab)) == 6

    run(scene)


def test_a_daemon_runs_on_each_machine() -> None:
    async def scene() -> None:
        async with rig(keepers=[machines]) as lab:
            await begin(lab)
            percentages = {"minimumHealthyPercent": 0, "maximumPercent": 100}
            params = {**WHOLE, "schedulingStrategy": "DAEMON", "deploymentConfiguration": percentages}
            await lab.call("CreateService", params)
            await lab.until(lambda: len(running(lab)) == 3)
            await wait(lab, "ServicesStable", services=["web"])
            assert len({one.container_instance_arn for one in running(lab)}) == 3
            await lab.call("UpdateService", {"service": "web", "forceNewDeployment": True})
            await wait(lab, "ServicesStable", services=["web"])
            await lab.call("DeleteService", {"service": "web", "force": True})
            await wait(lab, "ServicesInactive", services=["web"])

    run(scene)


def running(lab: Rig) -> list[Task]:
    return [one for one in lab.store.state.every(Task) if one.last_status is TaskStatus.RUNNING]
