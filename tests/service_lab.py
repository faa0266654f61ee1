"""Services whose tasks behave as a test says: the real operations and the real scheduler, no runtime, a clock by hand.

lab = ServiceLab()
lab.create("web", desired=3)
lab.turn()                       # the scheduler, until it has nothing more to do
lab.run()                        # all starting tasks run
lab.settle()                     # ... for long enough
assert lab.events("web")[0] == "(service web) has reached a steady state."
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ecs_lab import EcsLab

from kecs.controlplane import load_balancers, scheduling
from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.operation import Question
from kecs.controlplane.records import ContainerInstance, Service, Task, TaskSet
from kecs.controlplane.records.tasks import Health, Registration, StopCode, TaskStatus
from kecs.controlplane.runtime import Node
from kecs.controlplane.service_checks import TARGET_GROUP
from kecs.controlplane.state import Changes

CLUSTER = "arn:aws:ecs:us-east-1:000000000000:cluster/default"
TARGETS = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/0123456789abcdef"
NETWORK: Mapping[str, Any] = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}


@dataclass
class ServiceLab:
    """One cluster, `default`, whose tasks do what the test says."""

    api: EcsLab = field(default_factory=EcsLab)
    nodes: dict[str, Node] = field(default_factory=dict)
    instances: list[ContainerInstance] = field(default_factory=list)
    turns: int = 0
    due: datetime | None = None
    """When the scheduler wants to look again."""
    judge: Callable[["ServiceLab", Changes], None] = lambda _lab, _changes: None
    """Called with each decision of the scheduler, before it is carried out."""

    room: int = 1 << 20
    """CPU units, and MiB, of the one machine that there is."""

    def __post_init__(self) -> None:
        self.api.call("CreateCluster", {"clusterName": "default"})
        self.api.store.apply(self.machine())
        self.register("app")
        self.api.answers = {
            Question(TARGET_GROUP, TARGETS): load_balancers.TargetGroup(
                arn=TARGETS, target_type="ip", load_balancers=(BALANCER,)
            )
        }

    def machine(self) -> Changes:
        node = Node(name="machine", cpu=self.room, memory=self.room)
        return kept_instances(self.api.state, {"machine": node}, synced=True, now=self.api.now, ids=self.api.ids)

    def register(self, family: str, *, image: str = "app:1", mode: str = "", **container: Any) -> str:
        params: dict[str, Any] = {
            "family": family,
            "containerDefinitions": [{"name": "app", "image": image, "memory": 64, **container}],
        }
        if mode:
            params["networkMode"] = mode
        arn: str = self.api.call("RegisterTaskDefinition", params)["taskDefinition"]["taskDefinitionArn"]
        return arn

    def create(
        self, name: str = "web", *, desired: int | None = 1, bounds: tuple[int, int] = (100, 200), **more: Any
    ) -> Any:
        configuration = {"minimumHealthyPercent": bounds[0], "maximumPercent": bounds[1]}
        configuration |= more.pop("deploymentConfiguration", {})
        params = {"serviceName": name, "taskDefinition": "app", "deploymentConfiguration": configuration, **more}
        if desired is not None:
            params["desiredCount"] = desired
        return self.api.call("CreateService", params)["service"]

    def update(self, name: str = "web", **params: Any) -> Any:
        return self.api.call("UpdateService", {"service": name, **params})["service"]

    def described(self, name: str = "web") -> Any:
        return self.api.call("DescribeServices", {"services": [name]})["services"][0]

    def service(self, name: str = "web") -> Service:
        found = self.api.state.get(Service, f"{CLUSTER.replace(':cluster/', ':service/')}/{name}")
        assert found is not None
        return found

    def tasks(self, name: str = "web", *, deployment: str = "") -> list[Task]:
        """Those that have not stopped."""
        return [
            one
            for one in self.api.state.tasks_of_service(self.service(name).arn)
            if one.last_status is not TaskStatus.STOPPED and deployment in {"", one.deployment_id}
        ]

    def wanted(self, name: str = "web", *, deployment: str = "") -> list[Task]:
        return [one for one in self.tasks(name, deployment=deployment) if one.desired_status is TaskStatus.RUNNING]

    def turn(self, name: str = "web") -> None:
        """Let the scheduler do all it has to do now."""
        for _ in range(200):
            service = self.service(name)
            view = scheduling.see(self.api.state, service, instances=tuple(self.instances), nodes=self.nodes)
            assert view is not None
            decided = scheduling.schedule(view, now=self.api.now, ids=self.api.ids)
            assert decided.due is None or decided.due > self.api.now
            self.due = decided.due
            if not decided.changes:
                return
            self.turns += 1
            self.judge(self, decided.changes)
            self.api.store.apply(decided.changes)
        raise AssertionError(f"the scheduler of {name} never comes to rest")

    def put(self, *tasks: Task) -> None:
        self.api.store.apply(Changes(put=tasks))

    def run(self, *tasks: Task, name: str = "web", health: Health = Health.UNKNOWN) -> None:
        """Have starting tasks run, all of a service where none is named."""
        starting = [one for one in tasks or self.wanted(name) if one.last_status is not TaskStatus.RUNNING]
        self.put(
            *(
                replace(
                    one,
                    last_status=TaskStatus.RUNNING,
                    started_at=self.api.now,
                    health=health,
                    registration=Registration.DONE if one.registration is Registration.WANTED else one.registration,
                )
                for one in starting
            )
        )
        self.turn(name)

    def settle(self, name: str = "web", *, seconds: float = 6) -> None:
        self.api.later(seconds=seconds)
        self.turn(name)

    def end(self, name: str = "web") -> None:
        """Have tasks that are to stop be gone."""
        self.put(*(self.ended(one) for one in self.tasks(name) if one.desired_status is TaskStatus.STOPPED))
        self.turn(name)

    def ended(self, task: Task) -> Task:
        return replace(task, last_status=TaskStatus.STOPPED, stopped_at=self.api.now)

    def with_health(self, task: Task, health: Health) -> Task:
        return replace(task, health=health)

    def with_status(self, task: Task, status: TaskStatus) -> Task:
        return replace(task, last_status=status)

    def fail(self, *tasks: Task, name: str = "web", code: StopCode = StopCode.TASK_FAILED_TO_START) -> None:
        """Have tasks end by themselves, all that start of a service where none is named."""
        failing = tasks or [one for one in self.wanted(name) if one.last_status is not TaskStatus.RUNNING]
        self.put(
            *(
                self.ended(
                    replace(
                        one,
                        desired_status=TaskStatus.STOPPED,
                        stop_code=code,
                        stopped_reason="CannotPullContainerError",
                    )
                )
                for one in failing
            )
        )
        self.turn(name)

    def steady(self, name: str = "web") -> None:
        """Have all tasks behave until nothing more happens."""
        for _ in range(100):
            before = self.service(name), self.tasks(name)
            self.turn(name)
            self.run(name=name)
            self.end(name)
            self.settle(name)
            if before == (self.service(name), self.tasks(name)):
                return
        raise AssertionError(f"{name} never comes to rest")

    def events(self, name: str = "web") -> list[str]:
        return [one.message for one in self.service(name).events]

    def task_set(self, arn: str) -> TaskSet:
        found = self.api.state.get(TaskSet, arn)
        assert found is not None
        return found


def ids(tasks: list[Task]) -> str:
    return " ".join(f"(task {one.id})" for one in tasks)
