from collections import Counter
from dataclasses import replace
from typing import Any

from ecs_lab import NOW, FakeIds
from hypothesis import given
from hypothesis import strategies as st
from tasks_lab import CLUSTER, container, definition

from kecs.controlplane.occupancy import Taken, cpu, memory, ports
from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State
from kecs.controlplane.tasks import TaskWish, new_task

IDS = FakeIds()
HTTP = container("app", portMappings=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}])


def a_task(**fields: Any) -> Task:
    wish = TaskWish(container_instance_arn="i", group="g")
    made = new_task(cluster=CLUSTER, definition=definition(HTTP), wish=wish, now=NOW, ids=IDS)
    return replace(made, **fields)


def test_a_task_takes_what_it_or_its_containers_say() -> None:
    task = a_task()
    assert (cpu(task), memory(task), ports(task)) == (10, 64, frozenset({("tcp", 8080)}))
    [only] = task.containers
    reserved = replace(only, memory_reservation="32", cpu="5")
    plain = replace(task, cpu="", memory="", containers=(reserved, replace(only, memory="")))
    assert (cpu(plain), memory(plain)) == (15, 32)
    bound = replace(only, network_bindings=({"hostPort": 32768, "protocol": "udp"}, {"containerPort": 1}))
    assert ports(replace(task, containers=(bound,))) == frozenset({("tcp", 8080), ("udp", 32768)})


def test_what_a_task_takes_is_free_when_it_has_stopped_or_is_elsewhere() -> None:
    state, task = State(), a_task()
    state.apply(Changes(put=(task, other := a_task())))
    assert state.occupancy.of("i") == Taken(
        tasks=2, cpu=20, memory=128, ports=Counter({("tcp", 8080): 2}), groups=Counter({"g": 2})
    )
    undo = state.apply(Changes(put=(replace(task, container_instance_arn="j"),), delete=(other,)))
    assert state.occupancy.of("i") == Taken()
    assert state.occupancy.of("j").tasks == 1
    state.undo(undo)
    assert (state.occupancy.of("i").tasks, state.occupancy.of("j").tasks) == (2, 0)
    state.apply(Changes(put=(replace(task, last_status=TaskStatus.STOPPED),)))
    assert (state.occupancy.of("i").tasks, state.occupancy.of("i").cpu) == (1, 10)
    assert state.occupancy.of("nowhere") == Taken()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["", "i", "j"]),
            st.sampled_from(["g", "h"]),
            st.sampled_from([TaskStatus.RUNNING, TaskStatus.STOPPED, None]),
        ),
        max_size=20,
    )
)
def test_it_is_what_counting_all_tasks_would_say(steps: list[tuple[int, str, str, TaskStatus | None]]) -> None:
    tasks, state = [a_task() for _ in range(4)], State()
    for number, instance, group, status in steps:
        if status is None:
            state.apply(Changes(delete=(tasks[number],)))
        else:
            changed = replace(tasks[number], container_instance_arn=instance, group=group, last_status=status)
            state.apply(Changes(put=(changed,)))
    for instance in ("i", "j"):
        live = [one for one in state.tasks_of_instance(instance) if one.last_status is not TaskStatus.STOPPED]
        expected = Taken(
            tasks=len(live),
            cpu=sum(map(cpu, live)),
            memory=sum(map(memory, live)),
            ports=Counter(port for one in live for port in ports(one)),
            groups=Counter(one.group for one in live),
        )
        assert state.occupancy.of(instance) == expected
