"""Which targets load balancers are to have: records in, wishes out; answers in, records out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from service_lab import NETWORK, TARGETS, ServiceLab

from kecs.controlplane import load_balancers
from kecs.controlplane.load_balancers import Act, Target, TargetHealth, Wish
from kecs.controlplane.records import ContainerInstance, Task
from kecs.controlplane.records.tasks import Registration, StopCode, TaskStatus
from kecs.controlplane.state import Changes

BALANCER: dict[str, Any] = {"targetGroupArn": TARGETS, "containerName": "app", "containerPort": 80}


@pytest.fixture
def lab() -> ServiceLab:
    made = ServiceLab()
    made.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    made.create(desired=2, loadBalancers=[BALANCER], networkConfiguration=NETWORK)
    made.turn()
    return made


def reached(lab: ServiceLab) -> list[Task]:
    """Have all tasks run but for their registration, each at an address of its own."""
    for index, task in enumerate(lab.wanted(), 1):
        if task.last_status is TaskStatus.PROVISIONING:
            interface = {"attachmentId": "a", "privateIpv4Address": f"10.0.0.{index}"}
            containers = tuple(replace(one, network_interfaces=(interface,)) for one in task.containers)
            lab.put(replace(task, last_status=TaskStatus.ACTIVATING, containers=containers))
    return lab.wanted()


def asked(lab: ServiceLab) -> tuple[Wish, ...]:
    return load_balancers.wishes(lab.api.state, lab.service())


def carried_out(lab: ServiceLab) -> None:
    lab.api.store.apply(load_balancers.let_go(lab.api.state, lab.service()))
    for wish in asked(lab):
        done = load_balancers.done(lab.api.state, lab.service(), wish, now=lab.api.now, ids=lab.api.ids)
        lab.api.store.apply(done)


def registrations(lab: ServiceLab) -> set[Registration]:
    return {one.registration for one in lab.tasks()}


def test_nothing_is_registered_that_has_not_begun(lab: ServiceLab) -> None:
    assert registrations(lab) == {Registration.WANTED}
    assert asked(lab) == ()


def test_what_has_begun_is_registered_and_then_done(lab: ServiceLab) -> None:
    first, second = reached(lab)
    targets = {first.arn: Target(id="10.0.0.1", port=80), second.arn: Target(id="10.0.0.2", port=80)}
    assert asked(lab) == (Wish(act=Act.REGISTER, group=TARGETS, targets=targets),)
    carried_out(lab)
    assert registrations(lab) == {Registration.DONE}
    assert asked(lab) == ()
    assert lab.events()[0] == f"(service web) registered 2 targets in (target-group {TARGETS})"


def test_a_task_of_two_groups_is_done_when_it_is_in_both(lab: ServiceLab) -> None:
    other = TARGETS.replace("web", "admin")
    [deployment] = lab.service().deployments
    both = replace(deployment, load_balancers=(BALANCER, {**BALANCER, "targetGroupArn": other}))
    lab.api.store.apply(Changes(put=(replace(lab.service(), deployments=(both,)),)))
    reached(lab)
    first, second = asked(lab)
    assert {first.group, second.group} == {TARGETS, other}
    lab.api.store.apply(load_balancers.done(lab.api.state, lab.service(), first, now=lab.api.now, ids=lab.api.ids))
    assert registrations(lab) == {Registration.WANTED}
    assert asked(lab) == (second,)
    carried_out(lab)
    assert registrations(lab) == {Registration.DONE}


def test_what_is_to_stop_is_deregistered_first(lab: ServiceLab) -> None:
    reached(lab)
    carried_out(lab)
    lab.run()
    lab.update(desiredCount=1)
    lab.turn()
    [stopping] = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    [wish] = asked(lab)
    assert (wish.act, list(wish.targets)) == (Act.DEREGISTER, [stopping.arn])
    carried_out(lab)
    [stopping] = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    assert (stopping.registration, stopping.targets) == (Registration.GONE, ())
    assert lab.events()[:2] == [
        f"(service web) deregistered 1 targets in (target-group {TARGETS})",
        "(service web) has begun draining connections on 1 tasks.",
    ]


def test_what_ended_by_itself_is_deregistered_too(lab: ServiceLab) -> None:
    first, _ = reached(lab)
    carried_out(lab)
    lab.fail(lab.wanted()[0], code=StopCode.ESSENTIAL_CONTAINER_EXITED)
    [wish] = [one for one in asked(lab) if one.act is Act.DEREGISTER]
    assert list(wish.targets) == [first.arn]


def test_what_is_to_stop_and_was_never_registered_waits_for_nobody(lab: ServiceLab) -> None:
    lab.update(desiredCount=0)
    lab.turn()
    assert asked(lab) == ()
    carried_out(lab)
    assert registrations(lab) == {Registration.GONE}


def test_a_rollout_registers_the_new_before_it_deregisters_the_old(lab: ServiceLab) -> None:
    reached(lab)
    carried_out(lab)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    reached(lab)
    carried_out(lab)
    lab.run()
    lab.settle()
    lab.update(desiredCount=3)
    lab.turn()
    reached(lab)
    assert [one.act for one in asked(lab)] == [Act.REGISTER, Act.DEREGISTER]


def test_on_machines_the_target_is_the_machine_and_its_port(lab: ServiceLab) -> None:
    task = lab.wanted()[0]
    instance = ContainerInstance(
        arn="i", cluster_arn=task.cluster_arn, node="n", ec2_instance_id="i-1", registered_at=lab.api.now
    )
    bound = {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}
    containers = tuple(replace(one, network_bindings=(bound,)) for one in task.containers)
    lab.api.store.apply(Changes(put=(instance,)))
    lab.put(
        replace(task, last_status=TaskStatus.ACTIVATING, containers=containers, container_instance_arn=instance.arn)
    )
    [wish] = asked(lab)
    assert wish.targets == {task.arn: Target(id="i-1", port=32768)}


def test_a_group_that_cant_be_told_is_told_of_once_in_six_hours(lab: ServiceLab) -> None:
    reached(lab)
    [wish] = asked(lab)
    for _ in range(3):
        failing(lab, wish)
    assert lab.events()[0] == (
        f"(service web) was unable to change the targets in (target-group {TARGETS}). Reason: it is away"
    )
    assert len(lab.events()) == 2
    assert registrations(lab) == {Registration.WANTED}
    lab.api.later(hours=6)
    failing(lab, wish)
    assert len(lab.events()) == 3
    carried_out(lab)
    assert lab.service().told_at == {}


def failing(lab: ServiceLab, wish: Wish) -> None:
    changes = load_balancers.failed(lab.api.state, lab.service(), wish, "it is away", now=lab.api.now, ids=lab.api.ids)
    lab.api.store.apply(changes)


def test_a_task_that_stops_waits_a_minute_for_a_group_that_is_away(lab: ServiceLab) -> None:
    reached(lab)
    carried_out(lab)
    lab.update(desiredCount=0)
    lab.turn()
    [wish] = asked(lab)
    failing(lab, wish)
    assert registrations(lab) == {Registration.DONE}
    lab.api.now += timedelta(seconds=60)
    failing(lab, wish)
    assert registrations(lab) == {Registration.GONE}
    assert asked(lab) == ()


def test_an_unhealthy_target_is_replaced(lab: ServiceLab) -> None:
    reached(lab)
    carried_out(lab)
    lab.steady()
    sick = lab.wanted()[0]
    assert list(load_balancers.watched(lab.tasks())[TARGETS]) == [Target(id=f"10.0.0.{n}", port=80) for n in (1, 2)]
    look(lab, TargetHealth(state="unhealthy", reason="Health checks failed with these codes: [404]"))
    assert lab.events()[0] == (
        f"(service web) (port 80) is unhealthy in (target-group {TARGETS}) due to "
        "(reason Health checks failed with these codes: [404])"
    )
    told = len(lab.events())
    look(lab, TargetHealth(state="unhealthy"))
    assert len(lab.events()) == told
    lab.turn()
    reached(lab)
    carried_out(lab)
    lab.run()
    lab.settle()
    [stopping] = [one for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED]
    assert stopping.arn == sick.arn
    assert stopping.stopped_reason == f"Task failed ELB health checks in (target-group {TARGETS})"


def test_a_target_that_recovers_in_time_stays(lab: ServiceLab) -> None:
    lab.update(healthCheckGracePeriodSeconds=60)
    reached(lab)
    carried_out(lab)
    lab.run()
    look(lab, TargetHealth(state="unhealthy"))
    lab.settle()
    assert len(lab.wanted()) == 2
    look(lab, TargetHealth(state="healthy"))
    assert {one.unhealthy_in for one in lab.wanted()} == {""}
    lab.settle(seconds=100)
    assert len(lab.wanted()) == 2


def look(lab: ServiceLab, health: TargetHealth) -> None:
    found = {Target(id="10.0.0.1", port=80): health}
    changes = load_balancers.judged(lab.api.state, lab.service(), TARGETS, found, now=lab.api.now, ids=lab.api.ids)
    lab.api.store.apply(changes)


def test_what_waits_for_a_load_balancer_that_its_service_has_not_any_more_waits_for_nothing(lab: ServiceLab) -> None:
    reached(lab)
    [deployment] = lab.service().deployments
    without = replace(lab.service(), deployments=(replace(deployment, load_balancers=()),))
    lab.api.store.apply(Changes(put=(without,)))
    carried_out(lab)
    assert registrations(lab) == {Registration.NONE}


def test_tasks_of_task_sets_are_registered_where_their_set_says() -> None:
    lab = ServiceLab()
    lab.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    external = {"serviceName": "web", "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}}
    lab.api.call("CreateService", external)
    params = {"cluster": "default", "service": "web", "taskDefinition": "app", "networkConfiguration": NETWORK}
    for balancers in ([], [BALANCER]):
        lab.api.call("CreateTaskSet", {**params, "loadBalancers": balancers})
    lab.turn()
    reached(lab)
    [wish] = asked(lab)
    [task] = [one for one in lab.wanted() if one.registration is Registration.WANTED]
    assert list(wish.targets) == [task.arn]


def test_what_is_of_no_deployment_and_no_task_set_waits_for_nothing(lab: ServiceLab) -> None:
    external = {"serviceName": "sets", "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}}
    lab.api.call("CreateService", external)
    params = {"cluster": "default", "service": "sets", "taskDefinition": "app", "networkConfiguration": NETWORK}
    lab.api.call("CreateTaskSet", params)
    lab.turn("sets")
    [task] = lab.wanted("sets")
    lab.put(replace(task, deployment_id="ecs-svc/1"))
    [task] = lab.wanted("sets")
    assert load_balancers.balancers_of(lab.api.state, lab.service("sets"), task) == ()


def test_what_has_no_address_or_no_such_container_yet_is_not_registered(lab: ServiceLab) -> None:
    first, second = lab.wanted()
    renamed = tuple(replace(one, name="other") for one in second.containers)
    lab.put(
        replace(first, last_status=TaskStatus.ACTIVATING),
        replace(second, last_status=TaskStatus.ACTIVATING, containers=renamed),
    )
    assert asked(lab) == ()
