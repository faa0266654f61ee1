"""Services whose tasks are on machines that are drained."""

from dataclasses import replace

from service_lab import ServiceLab

from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Node


def on_two_machines(*, desired: int = 2, bounds: tuple[int, int] = (100, 200)) -> ServiceLab:
    lab = ServiceLab()
    nodes = {name: Node(name=name, cpu=4096, memory=4096) for name in ("a", "b")}
    lab.api.store.apply(kept_instances(lab.api.state, nodes, synced=True, now=lab.api.now, ids=lab.api.ids))
    lab.create(desired=desired, bounds=bounds)
    lab.steady()
    return lab


def drain(lab: ServiceLab, name: str) -> str:
    """Drain a machine; return its ARN."""
    [found] = [one for one in lab.api.state.instances_of_cluster(lab.service().cluster_arn) if one.node == name]
    params = {"cluster": "default", "containerInstances": [found.arn], "status": "DRAINING"}
    lab.api.call("UpdateContainerInstancesState", params)
    lab.instances = lab.api.state.instances_of_cluster(lab.service().cluster_arn)
    return found.arn


def on(lab: ServiceLab, arn: str) -> list[Task]:
    return [one for one in lab.wanted() if one.container_instance_arn == arn]


def test_tasks_on_a_drained_machine_are_replaced_first_and_stopped_then() -> None:
    lab = on_two_machines()
    drained = drain(lab, "a")
    [leaving] = on(lab, drained)
    lab.turn()
    assert len(lab.wanted()) == 3
    assert on(lab, drained) == [leaving]
    lab.run()
    lab.settle()
    assert on(lab, drained) == []
    [stopped] = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    assert stopped.stopped_reason == f"Scaling activity initiated by (deployment {leaving.deployment_id})"
    assert not [one for one in lab.events() if "failed container health checks" in one]
    lab.steady()
    assert lab.described()["runningCount"] == 2
    assert lab.described()["deployments"][0]["failedTasks"] == 0


def test_without_room_beside_them_they_are_stopped_down_to_the_minimum() -> None:
    lab = on_two_machines(desired=4, bounds=(75, 100))
    drained = drain(lab, "a")
    lab.turn()
    assert len(on(lab, drained)) == 1
    assert len(lab.wanted()) == 3
    lab.steady()
    assert on(lab, drained) == []
    assert lab.described()["runningCount"] == 4


def test_percentages_that_leave_nothing_keep_them() -> None:
    lab = on_two_machines(desired=1, bounds=(100, 150))
    [only] = lab.wanted()
    lab.put(replace(only, container_instance_arn=drain(lab, "a")))
    lab.steady()
    assert [one.arn for one in lab.wanted()] == [only.arn]


def test_a_machine_that_is_active_again_keeps_its_tasks() -> None:
    lab = on_two_machines()
    drained = drain(lab, "a")
    params = {"cluster": "default", "containerInstances": [drained], "status": "ACTIVE"}
    lab.api.call("UpdateContainerInstancesState", params)
    lab.instances = lab.api.state.instances_of_cluster(lab.service().cluster_arn)
    before = lab.turns
    lab.turn()
    assert lab.turns == before
    assert len(on(lab, drained)) == 1
