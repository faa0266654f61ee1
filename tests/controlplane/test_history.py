"""What is over is remembered for as long as clients may ask for it, and no longer."""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ecs_lab import NOW
from hypothesis import given
from hypothesis import strategies as st
from store_lab import filled

from kecs.controlplane import history
from kecs.controlplane.history import History, Retention
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


def expired(state: State, now: datetime, retention: Retention | None = None) -> Changes:
    """Ask one who has just begun."""
    return History(state, retention).expired(now)


def keys(changes: Changes) -> set[str]:
    return {record.key for record in changes.delete}


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
    asked = Told(state)
    first = asked.expired(NOW + HOUR)
    assert len(first.delete) == history.AT_ONCE
    asked.apply(first)
    assert len(asked.expired(NOW + HOUR).delete) == 1


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


class Told:
    """One who is told of every change, as the store tells them, and a state that counts what it is asked for."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.history = History(state)

    def apply(self, changes: Changes) -> None:
        self.state.apply(changes)
        self.history.changed(changes)

    def expired(self, now: datetime) -> Changes:
        return self.history.expired(now)


class Asked(State):
    """Counts the records that somebody looks at."""

    looked = 0

    def get(self, kind: type[Any], key: str) -> Any:
        self.looked += 1
        return super().get(kind, key)

    def find(self, kind: type[Any], index: str, of: Hashable) -> list[Any]:
        found = super().find(kind, index, of)
        self.looked += 1 + len(found)
        return found

    def every(self, kind: type[Any]) -> Iterator[Any]:
        for record in super().every(kind):
            self.looked += 1
            yield record


@pytest.mark.parametrize("waiting", [10, 2000])
def test_a_look_costs_what_is_due_and_not_what_is_not(waiting: int) -> None:
    others = [replace(service(), arn=f"{S}-{n}") for n in range(waiting)]
    definitions = [replace(filled(TaskDefinition, n), status=DefinitionStatus.ACTIVE) for n in range(waiting)]
    state = Asked([*(task(n, stopped_at=NOW + HOUR) for n in range(waiting)), *others, *definitions])
    asked = Told(state)
    assert asked.expired(NOW) == Changes()  # the first look is at every service
    state.looked = 0
    assert asked.expired(NOW) == Changes()
    assert state.looked <= 1  # are there definitions to be deleted?
    asked.apply(Changes(put=(task(10**6),)))
    state.looked = 0
    assert len(asked.expired(NOW + HOUR).delete) == 1
    assert state.looked <= 3


def test_what_could_not_be_kept_is_found_again() -> None:
    asked = Told(State([task(1), service(status=ServiceStatus.INACTIVE, deleted_at=NOW)]))
    first = asked.expired(NOW + HOUR)
    assert len(first.delete) == 2
    assert asked.expired(NOW + HOUR) == Changes()  # its end is on its way
    assert keys(asked.expired(NOW + HOUR + history.AGAIN)) == keys(first)
    undo = asked.state.apply(first)
    asked.history.changed(first)
    asked.state.undo(undo)
    asked.history.changed(undo.changes)
    assert keys(asked.expired(NOW + HOUR + history.AGAIN)) == keys(first)


def test_a_cluster_that_waited_goes_with_the_look_after_its_last_task() -> None:
    cluster = Cluster(arn=C, name="c", created_at=NOW, status=ClusterStatus.INACTIVE, deleted_at=NOW)
    asked = Told(State([cluster, task(1, stopped_at=NOW + HOUR)]))
    assert asked.expired(NOW + HOUR) == Changes()
    last = asked.expired(NOW + 2 * HOUR)
    assert keys(last) == {task(1).key}
    asked.apply(last)
    assert keys(asked.expired(NOW + 2 * HOUR)) == {C}


NUMBERS = st.integers(0, 3)
STEPS = st.one_of(
    st.builds(lambda n: task(n, last_status=TaskStatus.RUNNING, stopped_at=None), NUMBERS),
    st.builds(lambda n, h: task(n, stopped_at=NOW + h * HOUR), NUMBERS, NUMBERS),
    st.builds(rollout, NUMBERS, st.sampled_from([None, NOW, NOW + HOUR]), source_revisions=st.just(("revision-1",))),
    st.builds(revision, NUMBERS),
    st.builds(lambda n: service(completed_revision_arn=f"revision-{n}"), NUMBERS),
    st.builds(lambda h: service(status=ServiceStatus.INACTIVE, deleted_at=NOW + h * HOUR), NUMBERS),
    st.builds(
        lambda h: Cluster(arn=C, name="c", created_at=NOW, status=ClusterStatus.INACTIVE, deleted_at=NOW + h * HOUR),
        NUMBERS,
    ),
    st.just(Cluster(arn=C, name="c", created_at=NOW)),
    st.sampled_from([timedelta(minutes=40), timedelta(days=89)]),
)


@given(st.lists(STEPS, max_size=25))
def test_who_has_been_told_all_along_knows_what_who_has_just_begun_finds(steps: list[Record | timedelta]) -> None:
    asked, now = Told(State()), NOW
    for step in steps:
        if isinstance(step, timedelta):
            now += step
        else:
            asked.apply(Changes(put=(step,)))
        fresh, found = expired(asked.state, now), asked.expired(now)
        assert keys(fresh) == keys(found)
        assert fresh.put == found.put
        asked.apply(found)
