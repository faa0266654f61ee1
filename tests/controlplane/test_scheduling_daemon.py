"""DAEMON services: one task on each machine, machines come and go."""

from dataclasses import replace

from service_lab import CLUSTER, ServiceLab

from kecs.controlplane.records import ContainerInstance
from kecs.controlplane.records.tasks import Health, StopCode, TaskStatus
from kecs.controlplane.runtime import Node


def machine(name: str, *, status: str = "ACTIVE") -> ContainerInstance:
    return ContainerInstance(
        arn=f"{CLUSTER.replace(':cluster/', ':container-instance/')}/{name}",
        cluster_arn=CLUSTER,
        node=name,
        status=status,
        registered_at=ServiceLab().api.now,
    )


def with_machines(*names: str, **more: int) -> ServiceLab:
    lab = ServiceLab(instances=[machine(one) for one in names])
    lab.create(desired=None, schedulingStrategy="DAEMON", bounds=(more.get("least", 0), 100))
    lab.turn()
    return lab


def placed(lab: ServiceLab) -> list[str]:
    return sorted(one.node for one in lab.wanted())


def test_a_daemon_has_one_task_on_each_machine() -> None:
    lab = with_machines("a", "b", "c")
    assert placed(lab) == ["a", "b", "c"]
    assert {one.container_instance_arn for one in lab.wanted()} == {one.arn for one in lab.instances}
    assert lab.described()["desiredCount"] == 3
    lab.steady()
    assert lab.events()[0] == "(service web) has reached a steady state."
    assert lab.described()["deployments"][0]["rolloutState"] == "COMPLETED"


def test_machines_that_come_get_a_task_and_those_that_go_lose_it() -> None:
    lab = with_machines("a")
    lab.steady()
    lab.instances.append(machine("b"))
    lab.steady()
    assert placed(lab) == ["a", "b"]
    lab.instances[0] = machine("a", status="DRAINING")
    lab.steady()
    assert placed(lab) == ["b"]
    lab.instances.pop()
    lab.steady()
    assert placed(lab) == []
    assert (lab.described()["desiredCount"], lab.described()["runningCount"]) == (0, 0)


def test_a_machine_that_is_not_ready_gets_none() -> None:
    lab = ServiceLab(instances=[machine("a"), machine("b")])
    lab.nodes = {"a": Node(name="a", cpu=1024, memory=1024, ready=False), "b": Node(name="b", cpu=1024, memory=1024)}
    lab.create(desired=None, schedulingStrategy="DAEMON", bounds=(0, 100))
    lab.turn()
    assert placed(lab) == ["b"]


def test_only_machines_that_meet_the_constraints_get_one() -> None:
    lab = ServiceLab(instances=[machine("a"), machine("b"), machine("c")])
    zone = {"name": "ecs.availability-zone", "value": "us-east-1a"}
    lab.instances[0] = replace(lab.instances[0], attributes=(zone,))
    lab.instances[1] = replace(lab.instances[1], attributes=(zone, {"name": "big", "value": "yes"}))
    placement = {"placementConstraints": [{"type": "memberOf", "expression": "attribute:big exists"}]}
    lab.api.call(
        "RegisterTaskDefinition",
        {"family": "app", "containerDefinitions": [{"name": "app", "image": "a", "memory": 64}], **placement},
    )
    here = [{"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1a"}]
    lab.create(desired=None, schedulingStrategy="DAEMON", bounds=(0, 100), placementConstraints=here)
    lab.turn()
    assert placed(lab) == ["b"]
    lab.instances[1] = replace(lab.instances[1], attributes=())
    lab.turn()
    assert placed(lab) == [], "a machine that meets them no more loses its task"


def test_a_rollout_starts_a_new_task_only_where_the_old_one_is_gone() -> None:
    lab = with_machines("a", "b")
    lab.steady()
    new = lab.update(forceNewDeployment=True)["deployments"][0]["id"]
    lab.turn()
    assert lab.wanted() == []
    lab.put(next(lab.ended(one) for one in lab.tasks() if one.node == "a"))
    lab.turn()
    assert placed(lab) == ["a"]
    assert {one.deployment_id for one in lab.wanted()} == {new}
    lab.steady()
    assert placed(lab) == ["a", "b"]
    assert [one["id"] for one in lab.described()["deployments"]] == [new]


def test_a_rollout_keeps_the_minimum() -> None:
    lab = with_machines("a", "b", "c", "d", least=50)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    running = [one for one in lab.wanted() if one.last_status is TaskStatus.RUNNING]
    assert len(running) == 2
    lab.end()
    lab.run()
    assert len([one for one in lab.wanted() if one.last_status is TaskStatus.RUNNING]) == 4
    lab.settle()
    lab.steady()
    assert len(lab.described()["deployments"]) == 1


def test_a_task_that_ends_is_replaced_on_its_machine() -> None:
    lab = with_machines("a", "b")
    lab.steady()
    lab.fail(lab.wanted()[0], code=StopCode.ESSENTIAL_CONTAINER_EXITED)
    lab.steady()
    assert placed(lab) == ["a", "b"]


def test_of_two_tasks_on_one_machine_one_is_stopped() -> None:
    lab = with_machines("a", "b")
    lab.steady()
    first, second = lab.wanted()
    lab.put(replace(second, container_instance_arn=first.container_instance_arn, node=first.node))
    lab.turn()
    assert len(lab.wanted()) == 2, "one has been stopped, and one was started where there was none"
    assert placed(lab) == ["a", "b"]


def test_a_daemon_that_fails_everywhere_trips_the_breaker() -> None:
    lab = ServiceLab(instances=[machine("a"), machine("b")])
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    lab.create(desired=None, schedulingStrategy="DAEMON", bounds=(0, 100), deploymentConfiguration=breaker)
    lab.turn()
    for _ in range(2):
        lab.fail()
        lab.settle(seconds=600)
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
    assert lab.wanted() == []


def test_a_protected_task_holds_its_machines_part_of_a_rollout_up() -> None:
    lab = with_machines("a", "b")
    lab.steady()
    lab.put(*(replace(one, protected=True) for one in lab.wanted() if one.node == "a"))
    old = lab.described()["deployments"][0]["id"]
    lab.update(forceNewDeployment=True)
    lab.steady()
    assert [one.node for one in lab.wanted(deployment=old)] == ["a"]
    assert len(lab.described()["deployments"]) == 2


def test_an_unhealthy_task_makes_room_for_another_on_its_machine() -> None:
    lab = with_machines("a", "b")
    lab.steady()
    sick = lab.wanted()[0]
    lab.put(lab.with_health(sick, Health.UNHEALTHY))
    lab.turn()
    assert sick.arn not in {one.arn for one in lab.wanted()}
    lab.steady()
    assert placed(lab) == ["a", "b"]
