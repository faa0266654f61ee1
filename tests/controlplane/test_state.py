"""The state: what is found by what, in which order, and changes taken back."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ecs_lab import SCOPE, EcsLab
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.controlplane.operation import Request
from kecs.controlplane.pages import ordered
from kecs.controlplane.records import (
    AccountSetting,
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Record,
    Service,
    Task,
    TaskDefinition,
)
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import INDEXES, Changes, Scope, State

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OWNER = "arn:aws:ecs:us-east-1:000000000000"
C, D = f"{OWNER}:cluster/c", f"{OWNER}:cluster/d"
RUNNING, STOPPED = TaskStatus.RUNNING, TaskStatus.STOPPED


def task(number: int, **fields: Any) -> Task:
    given = {"cluster_arn": C, "last_status": RUNNING, "family": "f", **fields}
    family = given.pop("family")
    return Task(
        arn=f"{OWNER}:task/c/{number:032x}",
        definition_arn=f"{OWNER}:task-definition/{family}:1",
        containers=(),
        group="g",
        created_at=NOW,
        **given,
    )


def numbers(tasks: Any) -> list[int]:
    return [int(found.id, 16) for found in tasks]


def test_tasks_are_found_by_all_that_is_said_of_them_oldest_first() -> None:
    state = State(
        [
            task(3, family="web", started_by="me", service_arn="s", container_instance_arn="i"),
            task(1, family="web", started_by="me"),
            task(2, family="job", desired_status=STOPPED),
            task(4, family="web", cluster_arn=D, started_by="me"),
        ]
    )
    assert numbers(state.tasks(C)) == [3, 1, 2]
    assert numbers(state.tasks(C, family="web")) == [3, 1]
    assert numbers(state.tasks(C, family="web", started_by="me", desired_status=RUNNING)) == [3, 1]
    assert numbers(state.tasks(C, family="web", desired_status=STOPPED)) == []
    assert numbers(state.tasks(C, service_arn="s")) == numbers(state.tasks(C, instance_arn="i")) == [3]
    assert numbers(state.tasks(C, started_by="me", after=state.position(Task, task(3).arn))) == [1]
    assert numbers(state.tasks("nowhere")) == []
    assert numbers(state.tasks_of_cluster(C)) == [3, 1, 2]
    assert numbers(state.tasks_of_service("s")) == numbers(state.tasks_of_instance("i")) == [3]
    assert state.count_tasks(C, RUNNING) == 3
    assert state.count(Task) == 4


def test_a_record_that_changes_keeps_its_place() -> None:
    state = State([task(number) for number in (1, 2, 3)])
    for number in (3, 1):
        state.apply(Changes(put=(task(number, desired_status=STOPPED, last_status=STOPPED),)))
    assert numbers(state.tasks(C, desired_status=STOPPED)) == [1, 3]
    assert numbers(state.tasks(C, desired_status=RUNNING)) == [2]
    assert numbers(state.every(Task)) == [1, 2, 3]
    assert state.count_tasks(C, STOPPED) == 2
    state.apply(Changes(put=(task(1),), delete=(task(1),)))
    assert numbers(state.every(Task)) == [2, 3, 1]


def test_what_belongs_to_whom() -> None:
    definition = TaskDefinition(
        arn=f"{OWNER}:task-definition/f:1", family="f", revision=1, document={}, registered_at=NOW
    )
    service = Service(arn=f"{OWNER}:service/c/s", name="s", cluster_arn=C, desired_count=1, created_at=NOW)
    instance = ContainerInstance(arn="i", cluster_arn=C, node="n", registered_at=NOW)
    provider = CapacityProvider(arn=f"{OWNER}:capacity-provider/p", name="p")
    setting = AccountSetting(region="us-east-1", account="000000000000", principal_arn="", name="n", value="v")
    cluster = Cluster(arn=C, name="c", created_at=NOW)
    state = State([definition, service, instance, provider, setting, cluster])
    elsewhere = Scope(region="eu-west-1", account="000000000000")
    assert (state.clusters(SCOPE), state.clusters(elsewhere)) == ([cluster], [])
    assert (state.capacity_providers(SCOPE), state.capacity_providers(elsewhere)) == ([provider], [])
    assert (state.definitions(SCOPE), state.definitions(elsewhere)) == ([definition], [])
    assert (state.revisions(SCOPE, "f"), state.revisions(SCOPE, "g")) == ([definition], [])
    assert (state.settings_of(SCOPE, ""), state.settings_of(SCOPE, "x")) == ([setting], [])
    assert state.services_of_cluster(C) == [service]
    assert state.instances_of_cluster(C) == [instance]
    assert state.tally(Service, "status", (C, ServiceStatus.ACTIVE)) == 1
    assert list(state.following(Service, "cluster", C, 0)) == [service]
    assert list(state.following(Service, "cluster", C, state.position(Service, service.arn))) == []
    assert state.get(Cluster, C) is cluster
    assert state.get(Cluster, D) is None


def test_changes_are_joined_in_their_order() -> None:
    assert not Changes()
    both = Changes(put=(task(1),), delete=(task(2),)) | Changes(put=(task(3),), delete=(task(4),))
    assert both == Changes(put=(task(1), task(3)), delete=(task(2), task(4)))
    assert Changes(delete=(task(1),))


def test_a_scope_is_read_of_an_arn() -> None:
    assert Scope.of("arn:aws-cn:ecs:cn-north-1:1:cluster/a:b") == Scope(
        partition="aws-cn", region="cn-north-1", account="1"
    )


def test_an_unknown_index_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        State().find(Task, "color", "red")


def test_pages_of_what_is_in_order_hold_when_records_change() -> None:
    state = State([task(number) for number in range(1, 8)])

    def page(token: str | None = None) -> tuple[list[int], str | None]:
        params = {"maxResults": 3, **({"nextToken": token} if token else {})}
        request = Request(
            operation="ListTasks", params=params, scope=SCOPE, principal_arn="", now=NOW, ids=EcsLab().ids
        )
        found = ordered(
            request,
            lambda after: state.tasks(C, desired_status=RUNNING, after=after),
            place=lambda one: state.position(Task, one.arn),
        )
        return numbers(found.items), found.next_token

    first, token = page()
    assert first == [1, 2, 3]
    state.apply(Changes(put=(task(9), task(4, desired_status=STOPPED)), delete=(task(3),)))
    second, token = page(token)
    assert second == [5, 6, 7]
    third, token = page(token)
    assert (third, token) == ([9], None)


CALM = settings(suppress_health_check=list(HealthCheck))
CHANGES = st.lists(
    st.builds(
        lambda puts, deletes: Changes(
            put=tuple(task(n, desired_status=s, last_status=s, family=f) for n, s, f in puts),
            delete=tuple(task(n) for n in deletes),
        ),
        st.lists(st.tuples(st.integers(0, 6), st.sampled_from([RUNNING, STOPPED]), st.sampled_from("fg")), max_size=5),
        st.lists(st.integers(0, 6), max_size=4),
    ),
    max_size=8,
)


def looked_at(state: State) -> Any:
    """Return everything that can be seen of tasks."""
    return [
        list(state.every(Task)),
        [state.position(Task, found.arn) for found in state.every(Task)],
        [numbers(state.tasks(C, desired_status=status)) for status in (RUNNING, STOPPED)],
        [numbers(state.tasks(C, family=family)) for family in "fg"],
        [state.count_tasks(C, status) for status in (RUNNING, STOPPED)],
        numbers(state.tasks_of_cluster(C)),
    ]


@CALM
@given(CHANGES)
def test_indexes_are_what_a_look_at_everything_finds(changes: list[Changes]) -> None:
    state, model = State(), dict[str, Record]()
    for change in changes:
        for record in change.delete:
            model.pop(record.key, None)
        for record in change.put:
            model[record.key] = record
        state.apply(change)
    assert list(state.every(Task)) == list(model.values())
    for name, of in INDEXES[Task]:
        for value in {of(record) for record in model.values()}:
            assert state.find(Task, name, value) == [one for one in model.values() if of(one) == value]


@CALM
@given(CHANGES, CHANGES)
def test_what_is_taken_back_has_never_been(before: list[Changes], after: list[Changes]) -> None:
    state = State()
    for change in before:
        state.apply(change)
    expected = looked_at(state)
    undos = [state.apply(change) for change in after]
    for undo in reversed(undos):
        state.undo(undo)
    assert looked_at(state) == expected


@CALM
@given(CHANGES, CHANGES)
def test_changes_that_take_back_are_changes(before: list[Changes], after: list[Changes]) -> None:
    """Who is told only of changes knows the same records, whatever their order."""
    state, told = State(), State()
    for change in before:
        state.apply(change)
        told.apply(change)
    undos = []
    for change in after:
        undos.append(state.apply(change))
        told.apply(change)
    for undo in reversed(undos):
        state.undo(undo)
        told.apply(undo.changes)
    assert {one.key: one for one in told.every(Task)} == {one.key: one for one in state.every(Task)}


def test_correcting_gives_the_positions_that_are_said() -> None:
    state = State([task(number) for number in (1, 2, 3)])
    state.apply(Changes(delete=(task(1),)))
    state.correct([task(2)], [(1, task(1)), (3, replace(task(3), group="x"))])
    assert numbers(state.every(Task)) == [1, 3]
    found = state.get(Task, task(3).arn)
    assert found is not None
    assert found.group == "x"
    state.load([(9, task(9))])
    state.apply(Changes(put=(task(2),)))
    assert numbers(state.every(Task)) == [1, 3, 9, 2]
