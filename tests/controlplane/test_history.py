"""What is over is remembered for as long as clients may ask for it, and no longer."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ecs_lab import NOW
from store_lab import filled

from kecs.controlplane import history
from kecs.controlplane.history import Retention, expired
from kecs.controlplane.records import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Record,
    Service,
    ServiceDeployment,
    ServiceRevision,
    Task,
    TaskDefinition,
    TaskSet,
    Token,
)
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.definitions import DefinitionStatus
from kecs.controlplane.records.services import Deployment, DeploymentStatus, ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State

OWNER = "arn:aws:ecs:us-east-1:000000000000"
C = f"{OWNER}:cluster/c"
S = f"{OWNER}:service/c/s"
HOUR = timedelta(hours=1)


def task(number: int, **fields: Any) -> Task:
    given = {"last_status": TaskStatus.STOPPED, "stopped_at": NOW, **fields}
    return Task(
        arn=f"{OWNER}:task/c/{number:032x}",
        cluster_arn=C,
        definition_arn=f"{OWNER}:task-definition/f:1",
        containers=(),
        group="g",
        created_at=NOW,
        **given,
    )


def service(**fields: Any) -> Service:
    return Service(arn=S, name="s", cluster_arn=C, desired_count=0, created_at=NOW, **fields)


def rollout(number: int, ended: datetime | None = NOW, **fields: Any) -> ServiceDeployment:
    given = {"target_revision": f"revision-{number}", **fields}
    return ServiceDeployment(
        arn=f"rollout-{number}",
        service_arn=S,
        cluster_arn=C,
        status="SUCCESSFUL" if ended else "IN_PROGRESS",
        deployment_id=f"ecs-svc/{number}",
        created_at=NOW,
        updated_at=NOW,
        finished_at=ended,
        **given,
    )


def revision(number: int) -> ServiceRevision:
    return replace(filled(ServiceRevision), arn=f"revision-{number}", service_arn=S, created_at=NOW)


def gone(state: State, after: timedelta, **retention: Any) -> set[str]:
    found = expired(state, NOW + after, Retention(**retention))
    return {record.key.rpartition("/")[2] for record in found.delete}


TOKEN = Token(
    region="us-east-1",
    account="000000000000",
    operation="RunTask",
    token="t",
    parameters_sha256="",
    resources=(),
    expires_at=NOW + HOUR,
)


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        pytest.param(task(1), HOUR, id="a stopped task: an hour"),
        pytest.param(task(1, stopped_at=None), HOUR, id="a stopped task that does not know when: since it was made"),
        pytest.param(task(1, last_status=TaskStatus.RUNNING), None, id="a running task: for ever"),
        pytest.param(TOKEN, HOUR, id="a token: until it expires"),
        pytest.param(service(), None, id="an active service: for ever"),
        pytest.param(service(status=ServiceStatus.INACTIVE, deleted_at=NOW), HOUR, id="an inactive service: an hour"),
        pytest.param(Cluster(arn=C, name="c", created_at=NOW), None, id="an active cluster: for ever"),
        pytest.param(
            Cluster(arn=C, name="c", created_at=NOW, status=ClusterStatus.INACTIVE, deleted_at=NOW),
            HOUR,
            id="an inactive cluster: an hour",
        ),
        pytest.param(
            CapacityProvider(arn="p", name="p", status="INACTIVE", deleted_at=NOW),
            HOUR,
            id="an inactive capacity provider: an hour",
        ),
        pytest.param(CapacityProvider(arn="p", name="p"), None, id="an active capacity provider: for ever"),
    ],
)
def test_how_long_it_is_kept(record: Record, kept: timedelta | None) -> None:
    state = State([record])
    just = kept or timedelta(days=1000)
    assert not expired(state, NOW + just - timedelta(microseconds=1))
    assert expired(state, NOW + just) == (Changes(delete=(record,)) if kept else Changes())


def test_settings_say_how_long() -> None:
    state = State([task(1), service(status=ServiceStatus.INACTIVE, deleted_at=NOW)])
    assert gone(state, timedelta(minutes=5), stopped_tasks=timedelta(minutes=5)) == {f"{1:032x}"}
    assert gone(state, timedelta(minutes=5), deleted=timedelta(minutes=5)) == {"s"}


def test_a_cluster_goes_with_its_instances_after_all_that_it_had() -> None:
    cluster = Cluster(arn=C, name="c", created_at=NOW, status=ClusterStatus.INACTIVE, deleted_at=NOW)
    instance = ContainerInstance(arn="i", cluster_arn=C, node="", status="INACTIVE", deleted_at=NOW, registered_at=NOW)
    state = State([cluster, instance, task(1, stopped_at=NOW + HOUR)])
    assert gone(state, HOUR) == {"i"}
    state.apply(Changes(delete=(instance,)))
    state.apply(Changes(put=(replace(instance, deleted_at=NOW + 9 * HOUR),)))
    assert gone(state, HOUR) == set()
    first = expired(state, NOW + 2 * HOUR)
    state.apply(first)
    assert [record.key for record in first.delete] == [task(1).key]
    assert gone(state, 2 * HOUR) == {"c", "i"}


def test_a_service_goes_with_all_that_it_had() -> None:
    task_set = TaskSet(
        arn="set",
        service_arn=S,
        cluster_arn=C,
        id="ecs-svc/1",
        status="PRIMARY",
        definition_arn="",
        created_at=NOW,
        updated_at=NOW,
    )
    state = State(
        [service(status=ServiceStatus.INACTIVE, deleted_at=NOW), rollout(1), rollout(2, None), revision(1), task_set]
    )
    assert gone(state, HOUR) == {"s", "rollout-1", "rollout-2", "revision-1", "set"}


def test_rollouts_of_a_service_are_kept_ninety_days_and_what_they_name_with_them() -> None:
    deployment = Deployment(
        id="ecs-svc/9",
        status=DeploymentStatus.PRIMARY,
        definition_arn="",
        desired_count=1,
        created_at=NOW,
        updated_at=NOW,
        revision_arn="revision-9",
    )
    last = rollout(8, None, source_revisions=("revision-5",), rollback_revision="revision-6")
    active = service(
        deployments=(deployment,),
        completed_revision_arn="revision-7",
        service_deployments=(last.arn, rollout(2).arn, rollout(1).arn),
    )
    state = State([active, rollout(1), rollout(2, NOW + HOUR), last, *map(revision, range(1, 11))])
    assert gone(state, timedelta(minutes=59)) == set()
    assert gone(state, timedelta(days=89)) == {"revision-3", "revision-4", "revision-10"}
    found = expired(state, NOW + timedelta(days=90))
    assert {record.key for record in found.delete} == {
        "rollout-1",
        "revision-1",
        "revision-3",
        "revision-4",
        "revision-10",
    }
    assert found.put == (replace(active, service_deployments=(last.arn, rollout(2).arn)),)


def test_a_service_keeps_its_hundred_last_rollouts() -> None:
    state = State([service(), *(rollout(number) for number in range(102)), rollout(200, None)])
    assert gone(state, timedelta(0)) == {"rollout-0", "rollout-1"}
    assert gone(state, timedelta(0), most_deployments=101) == {"rollout-0"}


def test_what_is_left_goes_with_the_next_look() -> None:
    state = State([task(number) for number in range(history.AT_ONCE + 1)])
    first = expired(state, NOW + HOUR)
    assert len(first.delete) == history.AT_ONCE
    state.apply(first)
    assert len(expired(state, NOW + HOUR).delete) == 1


def test_a_definition_that_is_to_be_deleted_goes_when_its_last_task_has_stopped() -> None:
    definition = TaskDefinition(
        arn=f"{OWNER}:task-definition/f:1",
        family="f",
        revision=1,
        status=DefinitionStatus.DELETE_IN_PROGRESS,
        document={},
        registered_at=NOW,
    )
    running = task(1, last_status=TaskStatus.RUNNING, stopped_at=None)
    assert not expired(State([definition, running]), NOW)
    assert expired(State([definition, replace(running, last_status=TaskStatus.STOPPED, stopped_at=NOW)]), NOW) == (
        Changes(delete=(definition,))
    )
