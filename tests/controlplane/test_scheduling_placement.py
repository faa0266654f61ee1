"""Services whose tasks need room on machines."""

from typing import Any

import pytest
from service_lab import NETWORK, ServiceLab

from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.runtime import Node

MORE = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
UNPLACED = "(service web) was unable to place a task because no container instance met all of its requirements."


def machines(lab: ServiceLab, **rooms: int) -> None:
    """Have these machines, with so many CPU units and MiB, instead of those there are."""
    nodes = {name: Node(name=name, cpu=room, memory=room) for name, room in rooms.items()}
    lab.api.store.apply(kept_instances(lab.api.state, nodes, synced=True, now=lab.api.now, ids=lab.api.ids))


def instance(lab: ServiceLab, name: str) -> str:
    [found] = [one for one in lab.api.state.instances_of_cluster(lab.service().cluster_arn) if one.node == name]
    return found.arn


def test_tasks_are_spread_over_machines() -> None:
    lab = ServiceLab()
    machines(lab, a=1024, b=1024)
    lab.create(desired=4)
    lab.turn()
    placed = [one.container_instance_arn for one in lab.wanted()]
    assert sorted(placed) == sorted([instance(lab, "a"), instance(lab, "b")] * 2)
    assert {one.node for one in lab.wanted()} == {""}, "nobody asked for these: the runtime may choose others"


def test_a_strategy_binds_tasks_to_its_machine() -> None:
    lab = ServiceLab()
    machines(lab, a=1024, b=2048)
    lab.create(desired=3, placementStrategy=[{"type": "binpack", "field": "memory"}])
    lab.turn()
    assert {one.node for one in lab.wanted()} == {"a"}


def test_what_has_no_room_is_told_and_tried_again() -> None:
    lab = ServiceLab(room=100)
    lab.create(desired=3)
    lab.turn()
    assert len(lab.wanted()) == 1
    machine = instance(lab, "machine").rpartition("/")[2]
    closest = f"The closest matching (container-instance {machine}) has insufficient memory available."
    assert f"{UNPLACED} {closest} {MORE}" in lab.events()
    told = len(lab.events())
    lab.settle(seconds=60)
    assert sum(one.startswith(UNPLACED) for one in lab.events()) == 1, "once while it lasts"
    assert len(lab.events()) == told
    machines(lab, machine=100, other=200)
    lab.settle()
    assert len(lab.wanted()) == 3
    assert lab.service().told_at == {}
    lab.steady()
    assert lab.described()["runningCount"] == 3


def test_without_machines_that_is_told() -> None:
    lab = ServiceLab()
    machines(lab)
    lab.create(desired=1)
    lab.turn()
    assert lab.events() == [f"{UNPLACED} Reason: No Container Instances were found in your cluster. {MORE}"]
    assert lab.described()["pendingCount"] == 0


def test_machines_that_are_no_instances_yet_are_the_runtimes_business() -> None:
    lab = ServiceLab(nodes={"a": Node(name="a", cpu=1, memory=1)})
    machines(lab)
    lab.create(desired=1)
    lab.turn()
    assert len(lab.wanted()) == 1


@pytest.mark.parametrize(
    ("container", "constraints", "why"),
    [
        ({"cpu": 2048}, [], "has insufficient CPU units available."),
        (
            {"portMappings": [{"containerPort": 80, "hostPort": 80}]},
            [],
            "is already using a port required by your task.",
        ),
        (
            {},
            [{"type": "memberOf", "expression": "attribute:gpu exists"}],
            "is missing an attribute required by your task.",
        ),
        ({}, [{"type": "distinctInstance"}], "is missing an attribute required by your task."),
    ],
)
def test_why_there_is_no_room(container: dict[str, Any], constraints: list[dict[str, str]], why: str) -> None:
    lab = ServiceLab(room=1024)
    lab.register("app", **container)
    lab.create(desired=2, placementConstraints=constraints)
    lab.turn()
    assert any(one.startswith(UNPLACED) and why in one for one in lab.events())


def test_fargate_needs_no_machine() -> None:
    lab = ServiceLab()
    machines(lab)
    lab.api.call(
        "RegisterTaskDefinition",
        {
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{"name": "app", "image": "app:1"}],
        },
    )
    lab.create(desired=2, launchType="FARGATE", networkConfiguration=NETWORK)
    lab.steady()
    assert lab.described()["runningCount"] == 2


def test_a_rollout_goes_on_when_room_comes() -> None:
    lab = ServiceLab(room=130)
    lab.create(desired=2)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.steady()
    assert len(lab.described()["deployments"]) == 2, "there is no room for a third task beside the two"
    lab.update(deploymentConfiguration={"minimumHealthyPercent": 50})
    lab.steady()
    assert len(lab.described()["deployments"]) == 1
    assert lab.described()["runningCount"] == 2
