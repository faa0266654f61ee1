from dataclasses import replace

from ecs_lab import NOW, FakeIds
from tasks_lab import CLUSTER, definition

from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Node, Sighting
from kecs.controlplane.sighted import Sighted
from kecs.controlplane.tasks import TaskWish, new_task

IDS = FakeIds()
NODE = Node(name="n", cpu=1, memory=1)


def a_task(*, seen: bool = True) -> Task:
    made = new_task(cluster=CLUSTER, definition=definition(), wish=TaskWish(), now=NOW, ids=IDS)
    return replace(made, seen=seen)


def test_what_was_not_told_is_gone_but_not_what_is_still_to_come() -> None:
    there, vanished, coming = a_task(), a_task(), a_task(seen=False)
    over = replace(a_task(), last_status=TaskStatus.STOPPED)
    sighted = Sighted()
    synced = [sighted.synced]
    sighted.tell(Sighting(task_arn=there.arn))
    sighted.resynced([there, vanished, coming, over])
    assert [*synced, sighted.synced] == [False, True]
    assert sighted.of(there.arn) == Sighting(task_arn=there.arn)
    assert sighted.of(vanished.arn) == Sighting(task_arn=vanished.arn, gone=True)
    assert sighted.of(coming.arn) is None
    assert sighted.of(over.arn) is None


def test_what_was_told_once_and_not_again_is_gone() -> None:
    task, sighted = a_task(), Sighted()
    sighted.tell(Sighting(task_arn=task.arn))
    sighted.resynced([task])
    sighted.resynced([task])
    found = sighted.of(task.arn)
    assert found is not None
    assert found.gone


def test_a_runtime_that_is_lost_takes_nothing_with_it() -> None:
    task, sighted = a_task(), Sighted()
    sighted.tell_node(NODE)
    sighted.tell(Sighting(task_arn=task.arn))
    sighted.resynced([task])
    sighted.lost()
    assert not sighted.synced
    assert sighted.of(task.arn) == Sighting(task_arn=task.arn)
    assert sighted.nodes == {"n": NODE}
    sighted.resynced([])
    assert sighted.nodes == {}


def test_what_went_with_its_machine_is_told_so() -> None:
    sighted = Sighted()
    for name in ("well", "ill", "gone"):
        sighted.tell_node(Node(name=name, cpu=1, memory=1))
        sighted.tell(Sighting(task_arn=f"on-{name}", node=name))
    sighted.tell(Sighting(task_arn="nowhere"))
    sighted.lost()
    sighted.tell_node(Node(name="well", cpu=1, memory=1))
    sighted.tell_node(Node(name="ill", cpu=1, memory=1, ready=False))
    sighted.resynced([])
    lost = {}
    for name in ("on-well", "on-ill", "on-gone", "nowhere"):
        found = sighted.of(name)
        assert found is not None
        assert found.gone
        lost[name] = (found.node, found.node_lost)
    assert lost == {
        "on-well": ("well", False),
        "on-ill": ("ill", True),
        "on-gone": ("gone", True),
        "nowhere": ("", False),
    }


def test_what_is_forgotten_is_not_known() -> None:
    sighted = Sighted()
    sighted.gone("a")
    assert sighted.of("a") is not None
    sighted.forget("a")
    sighted.forget("never")
    assert sighted.of("a") is None
