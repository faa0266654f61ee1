"""Tasks are targets of the emulator's load balancers while they run: the whole control plane, without a cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from ecs_lab import NOW, PRINCIPAL, SCOPE
from emulator_lab import Emulator, running
from tasks_lab import NETWORK, Rig, rig, run

from kecs.controlplane import operation
from kecs.controlplane.errors import ApiError
from kecs.controlplane.load_balancers import Act, Target, TargetGroup, TargetHealth
from kecs.controlplane.operation import Ask, Question
from kecs.controlplane.operations import OPERATIONS
from kecs.controlplane.records import Service, Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.service_checks import TARGET_GROUP
from kecs.controlplane.targets import Targets
from kecs.controlplane.targets_client import EmulatorTargets, TargetsError
from kecs.controlplane.wire.parsing import parse

ACCOUNT = {"aws_access_key_id": SCOPE.account, "aws_secret_access_key": "test"}
DEFINITION: dict[str, Any] = {
    "family": "web",
    "networkMode": "awsvpc",
    "containerDefinitions": [{"name": "app", "image": "app:1", "memory": 64, "portMappings": [{"containerPort": 80}]}],
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running() as found:
        yield found


@pytest.fixture
def elb(emulator: Emulator) -> Any:
    return emulator.client("elbv2", keys=ACCOUNT)


def network(emulator: Emulator) -> tuple[str, list[str]]:
    ec2 = emulator.client("ec2", keys=ACCOUNT)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in ((1, "a"), (2, "b"))
    ]
    return vpc, subnets


def group(emulator: Emulator, elb: Any, name: str, *, served: bool = True, kind: str = "ip") -> str:
    vpc, subnets = network(emulator)
    made: str = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType=kind)[
        "TargetGroups"
    ][0]["TargetGroupArn"]
    if served:
        balancer = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        elb.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": made}],
        )
    return made


def registered(elb: Any, target_group: str) -> list[tuple[str, int]]:
    found = elb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return sorted(
        (one["Target"]["Id"], one["Target"]["Port"]) for one in found if one["TargetHealth"]["State"] != "draining"
    )


def question(target_group: str) -> Question:
    return Question(TARGET_GROUP, target_group)


async def asked(client: EmulatorTargets, target_group: str) -> TargetGroup | None:
    request = operation.Request(
        operation="CreateService", params={}, scope=SCOPE, principal_arn=PRINCIPAL, now=NOW, ids=IDS
    )
    return await client.answer(question(target_group), request)


class Ids:
    def hex32(self) -> str:
        return ""

    def uuid(self) -> str:
        return ""

    def digits19(self) -> str:
        return ""


IDS = Ids()


@asynccontextmanager
async def serving(groups: Any) -> AsyncIterator[Rig]:
    async with rig() as found:
        targets = asyncio.ensure_future(Targets(found.store, groups, clock=found.clock, ids=found.ids).run())
        try:
            await found.call("CreateCluster", {"clusterName": "default"})
            await found.call("RegisterTaskDefinition", DEFINITION)
            yield found
            assert not targets.done(), targets
        finally:
            targets.cancel()
            await asyncio.gather(targets, return_exceptions=True)


async def create(lab: Rig, target_group: str, *, count: int = 2) -> None:
    balancer = {"targetGroupArn": target_group, "containerName": "app", "containerPort": 80}
    params = {"serviceName": "web", "taskDefinition": "web", "desiredCount": count, "loadBalancers": [balancer]}
    request = operation.Request(
        operation="CreateService",
        params=parse("CreateService", {**params, "networkConfiguration": NETWORK}),
        scope=SCOPE,
        principal_arn=PRINCIPAL,
        now=lab.clock.now(),
        ids=lab.ids,
        answers={question(target_group): TargetGroup(arn=target_group, load_balancers=("arn:lb",))},
    )
    outcome = OPERATIONS["CreateService"](request, lab.store.state)
    assert not isinstance(outcome, Ask)
    await lab.store.commit(outcome.changes)


def service(lab: Rig) -> Service:
    [found] = lab.store.state.every(Service)
    return found


def running_tasks(lab: Rig) -> list[Task]:
    return [one for one in lab.store.state.every(Task) if one.last_status is TaskStatus.RUNNING]


def messages(lab: Rig) -> list[str]:
    return [one.message for one in service(lab).events]


class Counted:
    """Target groups of which it is known when somebody asks: threads answer, and the clock has to wait for them."""

    def __init__(self, groups: EmulatorTargets) -> None:
        self._groups = groups
        self._asked: set[asyncio.Future[Any]] = set()

    async def tell(self, act: Act, group: str, targets: Iterable[Target]) -> None:
        await self._counted(self._groups.tell(act, group, targets))

    async def health(self, group: str) -> Mapping[Target, TargetHealth]:
        found: Mapping[Target, TargetHealth] = await self._counted(self._groups.health(group))
        return found

    async def _counted(self, call: Any) -> Any:
        asking = asyncio.ensure_future(call)
        self._asked.add(asking)
        try:
            return await asking
        finally:
            self._asked.discard(asking)

    async def until(self, lab: Rig, holds: Callable[[], object]) -> None:
        """Let time pass until something holds, but not while somebody is asked."""
        async with asyncio.timeout(100):
            while not holds():
                await lab.settle()
                while self._asked:
                    await asyncio.wait(list(self._asked))
                    await lab.settle()
                if not holds() and (then := lab.clock.next) is not None:
                    lab.clock.move(then - lab.clock.now())


def test_target_groups_are_known_by_their_arns(emulator: Emulator, elb: Any) -> None:
    async def scene() -> None:
        client = EmulatorTargets(f"http://127.0.0.1:{emulator.port}")
        served = group(emulator, elb, "served")
        alone = group(emulator, elb, "alone", served=False, kind="instance")
        found = await asked(client, served)
        assert found is not None
        assert found.target_type == "ip"
        assert len(found.load_balancers) == 1
        found = await asked(client, alone)
        assert found == TargetGroup(arn=alone, target_type="instance")
        assert await asked(client, alone + "0") is None
        assert await asked(client, "no-arn") is None
        client.close()

    run(scene)


def test_tasks_are_targets_from_their_start_to_their_stop(emulator: Emulator, elb: Any) -> None:
    async def scene() -> None:
        client = EmulatorTargets(f"http://127.0.0.1:{emulator.port}")
        target_group = group(emulator, elb, "life")
        groups = Counted(client)
        async with serving(groups) as lab:
            await create(lab, target_group)
            await groups.until(lab, lambda: len(running_tasks(lab)) == 2)
            addresses = sorted(
                interface["privateIpv4Address"]
                for task in running_tasks(lab)
                for interface in task.containers[0].network_interfaces
            )
            assert registered(elb, target_group) == [(one, 80) for one in addresses]
            assert any("registered" in one for one in messages(lab))
            await lab.call("UpdateService", {"service": "web", "desiredCount": 0})
            await groups.until(lab, lambda: not running_tasks(lab) and not registered(elb, target_group))
            assert any(f"targets in (target-group {target_group})" in one for one in messages(lab))
            assert sum("has begun draining connections on" in one for one in messages(lab)) >= 1
            await groups.until(
                lab, lambda: all(one.last_status is TaskStatus.STOPPED for one in lab.store.state.every(Task))
            )
        client.close()

    run(scene)


@dataclass
class Groups:
    """Target groups that can be away."""

    away: bool = False
    there: dict[str, set[Target]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    async def tell(self, act: Act, group: str, targets: Iterable[Target]) -> None:
        if self.away:
            raise TargetsError("it is away")
        found = self.there.setdefault(group, set())
        found |= set(targets) if act is Act.REGISTER else set()
        found -= set(targets) if act is Act.DEREGISTER else set()

    async def health(self, group: str) -> Mapping[Target, TargetHealth]:
        if self.away:
            raise TargetsError("it is away")
        return {
            one: TargetHealth(state=self.states.get(one.id, "healthy"), reason="Request timed out")
            for one in self.there.get(group, ())
        }


def test_while_load_balancers_are_away_tasks_are_activating_and_then_they_run() -> None:
    async def scene() -> None:
        groups = Groups(away=True)
        async with serving(groups) as lab:
            await create(lab, "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/t/1")
            await lab.until(lambda: any("was unable to change the targets" in one for one in messages(lab)))
            await lab.until(lambda: {one.last_status for one in lab.store.state.every(Task)} == {TaskStatus.ACTIVATING})
            groups.away = False
            await lab.until(lambda: len(running_tasks(lab)) == 2)
            await lab.until(lambda: "(service web) has reached a steady state." in messages(lab))
            groups.away = True
            await lab.call("DeleteService", {"service": "web", "force": True})
            await lab.until(lambda: service(lab).status == "INACTIVE")
            assert sum("was unable to change the targets" in one for one in messages(lab)) == 2

    run(scene)


def test_a_target_that_becomes_unhealthy_is_replaced_by_another() -> None:
    async def scene() -> None:
        groups = Groups()
        async with serving(groups) as lab:
            await create(lab, "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/t/1", count=1)
            await lab.until(lambda: "(service web) has reached a steady state." in messages(lab))
            [sick] = running_tasks(lab)
            groups.states[sick.targets[0]["id"]] = "unhealthy"
            await lab.until(lambda: lab.task(sick.arn).last_status is TaskStatus.STOPPED)
            await lab.until(lambda: [one.arn for one in running_tasks(lab)] not in ([], [sick.arn]))
            assert lab.task(sick.arn).stopped_reason.startswith("Task failed ELB health checks in (target-group arn:")
            assert any("is unhealthy in" in one and "(reason Request timed out)" in one for one in messages(lab))

    run(scene)


def test_without_an_emulator_nobody_can_be_told() -> None:
    async def scene() -> None:
        client = EmulatorTargets("")
        with pytest.raises(TargetsError, match="there is no emulator"):
            await client.tell(Act.REGISTER, "arn:aws:elasticloadbalancing:us-east-1:000000000000:t", [])
        with pytest.raises(ApiError, match="could not be asked"):
            await asked(client, "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/t/1")
        client.close()

    run(scene)
