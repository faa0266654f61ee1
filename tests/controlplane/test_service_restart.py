"""A control plane that is killed during a rollout finishes it when it is started again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tasks_lab import Rig, rig, run

from kecs.controlplane.clock import SteppedClock
from kecs.controlplane.records import Service, ServiceDeployment, ServiceRevision, Task
from kecs.controlplane.records.tasks import TaskStatus

DEFINITION: dict[str, Any] = {"containerDefinitions": [{"name": "app", "image": "app:1", "memory": 64}]}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def service(lab: Rig) -> Service:
    [found] = lab.store.state.every(Service)
    return found


def is_steady(lab: Rig) -> bool:
    deployments = service(lab).deployments
    return len(deployments) == 1 and deployments[0].rollout == "COMPLETED"


def told(lab: Rig) -> Sequence[str]:
    return [one.message for one in service(lab).events]


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8, 13])
def test_a_rollout_goes_on_after_a_kill(tmp_path: Path, moment: int) -> None:
    async def scene() -> None:
        path = tmp_path / "state"
        async with rig(path) as lab:
            await lab.call("CreateCluster", {"clusterName": "default"})
            await lab.call("RegisterTaskDefinition", {"family": "web", **DEFINITION})
            params = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 3}
            await lab.call("CreateService", {**params, "deploymentConfiguration": BREAKER})
            await lab.until(lambda: is_steady(lab))
            await lab.call("UpdateService", {"service": "web", "forceNewDeployment": True})
            for _ in range(moment):
                await lab.settle()
                if (then := lab.clock.next) is not None:
                    lab.clock.move(then - lab.clock.now())
            before, clock, ids = service(lab), SteppedClock(lab.clock.now()), lab.ids
        async with rig(path, clock=clock, ids=ids) as lab:
            assert service(lab) == before
            await lab.until(lambda: is_steady(lab))
            assert sum(one.last_status is TaskStatus.RUNNING for one in lab.store.state.every(Task)) == 3
            assert sum("deployment completed." in one for one in told(lab)) == 2
            assert lab.store.state.count(ServiceDeployment) == 2
            assert {one.status for one in lab.store.state.every(ServiceDeployment)} == {"SUCCESSFUL"}
            assert lab.store.state.count(ServiceRevision) == 2

    run(scene)


def test_failures_are_counted_on_after_a_kill(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "state"
        [app] = DEFINITION["containerDefinitions"]
        async with rig(path) as lab:
            await lab.call("CreateCluster", {"clusterName": "default"})
            await lab.call("RegisterTaskDefinition", {"family": "web", **DEFINITION})
            params = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 1}
            await lab.call("CreateService", {**params, "deploymentConfiguration": BREAKER})
            await lab.until(lambda: is_steady(lab))
            bad = {"family": "web", "containerDefinitions": [app | {"image": "nothing.invalid/app:2"}]}
            await lab.call("RegisterTaskDefinition", bad)
            await lab.call("UpdateService", {"service": "web", "taskDefinition": "web"})
            await lab.until(lambda: service(lab).deployments[0].failed_tasks == 2)
            clock, ids = SteppedClock(lab.clock.now()), lab.ids
        async with rig(path, clock=clock, ids=ids) as lab:
            await lab.until(lambda: is_steady(lab))
            assert service(lab).definition_arn.endswith("web:1")
            failed = [one for one in lab.store.state.every(Task) if one.definition_arn.endswith("web:2")]
            assert len(failed) == 3, "two before, one after"
            assert any("rolling back to deployment" in one for one in told(lab))

    run(scene)
