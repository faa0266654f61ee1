"""Whatever happens to a service, its scheduler comes to rest, never does the same twice, and ends in order."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from service_lab import ServiceLab

from kecs.controlplane.records.services import Rollout
from kecs.controlplane.records.tasks import Health, StopCode, TaskStatus

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def starting(lab: ServiceLab) -> list[Any]:
    return [one for one in lab.wanted() if one.last_status is not TaskStatus.RUNNING]


def running(lab: ServiceLab) -> list[Any]:
    return [one for one in lab.wanted() if one.last_status is TaskStatus.RUNNING]


def changed(lab: ServiceLab, **fields: Any) -> None:
    lab.put(*(replace(one, **fields) for one in running(lab)[:1]))
    lab.turn()


def scale(lab: ServiceLab, count: int) -> None:
    lab.update(desiredCount=count)
    lab.turn()


def deploy(lab: ServiceLab) -> None:
    lab.update(forceNewDeployment=True)
    lab.turn()


def percentages(lab: ServiceLab, least: int, most: int) -> None:
    lab.update(deploymentConfiguration={"minimumHealthyPercent": least, "maximumPercent": most})
    lab.turn()


ACTS: Mapping[str, Callable[[ServiceLab], None]] = {
    "run one": lambda lab: lab.run(*starting(lab)[:1]) if starting(lab) else None,
    "run all": lambda lab: lab.run(),
    "one can't start": lambda lab: lab.fail(*starting(lab)[:1]) if starting(lab) else None,
    "none can start": lambda lab: lab.fail(*starting(lab)) if starting(lab) else None,
    "one ends": lambda lab: (
        lab.fail(*running(lab)[:1], code=StopCode.ESSENTIAL_CONTAINER_EXITED) if running(lab) else None
    ),
    "one is unhealthy": lambda lab: changed(lab, health=Health.UNHEALTHY),
    "one is healthy": lambda lab: changed(lab, health=Health.HEALTHY),
    "one is protected": lambda lab: changed(lab, protected=True),
    "one is not": lambda lab: changed(lab, protected=False),
    "stopped ones end": lambda lab: lab.end(),
    "a while": lambda lab: lab.settle(),
    "an hour": lambda lab: lab.settle(seconds=3600),
    "none": lambda lab: scale(lab, 0),
    "two": lambda lab: scale(lab, 2),
    "five": lambda lab: scale(lab, 5),
    "deploy": deploy,
    "none beside": lambda lab: percentages(lab, 50, 100),
    "all beside": lambda lab: percentages(lab, 100, 200),
}


@settings(max_examples=100)
@given(acts=st.lists(st.sampled_from(sorted(ACTS)), max_size=30))
def test_a_service_survives_everything(acts: list[str]) -> None:
    lab = ServiceLab()
    lab.create(desired=2, deploymentConfiguration=BREAKER)
    lab.turn()
    for act in acts:
        ACTS[act](lab)
        before = lab.turns
        lab.turn()
        assert lab.turns == before, "at the same time it decides the same, and that is done"
        assert len({one.id for one in lab.service().deployments}) == len(lab.service().deployments)
        assert lab.service().deployments[0].status == "PRIMARY"
        assert len(lab.wanted(deployment=lab.service().deployments[0].id)) <= 10
    percentages(lab, 50, 200)
    lab.put(*(replace(one, protected=False, health=Health.UNKNOWN) for one in lab.wanted()))
    if lab.service().deployments[0].rollout is Rollout.FAILED:
        deploy(lab)
    lab.api.later(hours=1)
    lab.steady()
    found = lab.described()
    assert [one["rolloutState"] for one in found["deployments"]] == ["COMPLETED"]
    assert found["runningCount"] == found["desiredCount"]
    assert found["pendingCount"] == 0
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    lab.end()
    assert lab.described()["status"] == "INACTIVE"
