"""On which container instance a task runs: what has room for it, and which of those a strategy prefers. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kecs.controlplane.cluster_query import query
from kecs.controlplane.container_instances import attributes_of, remaining
from kecs.controlplane.lifecycle import versioned
from kecs.controlplane.occupancy import reserved
from kecs.controlplane.records import Cluster, ContainerInstance, Task, TaskDefinition
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Sighting
from kecs.controlplane.state import State
from kecs.controlplane.task_making import instance_zone

type Json = dict[str, Any]

FARGATE: Final = "FARGATE"
PACKED: Final = frozenset({"cpu", "memory"})
"""What binpack knows, in small letters: clients say CPU and MEMORY as well, and so did the CDK by itself."""
INSTANCES: Final = frozenset({"instanceid", "host"})
"""What spread knows besides attributes, in small letters."""
ATTRIBUTE: Final = "attribute:"
EXPRESSION_MOST: Final = 2000
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a task needs of a machine."""

    cpu: int
    memory: int
    ports: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Of the machine, by protocol: tcp and udp."""
    group: str
    constraints: tuple[Json, ...] = ()
    strategy: tuple[Json, ...] = ()

    @classmethod
    def of(cls, task: Task, definition: TaskDefinition) -> "Need":
        """Return what a new task needs."""
        return cls(
            cpu=int(task.cpu or 0),
            memory=int(task.memory or 0),
            ports={
                protocol: frozenset(port for said, port in reserved(task) if said == protocol)
                for protocol in ("tcp", "udp")
            },
            group=task.group,
            constraints=(*(definition.document.get("placementConstraints") or ()), *task.placement_constraints),
            strategy=task.placement_strategy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A container instance, and what is left of it."""

    instance: ContainerInstance
    cpu: int
    memory: int
    ports: Mapping[str, frozenset[int]]
    """Taken ones, by protocol."""
    groups: Counter[str]
    """Tasks by group."""
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, state: State, instance: ContainerInstance) -> "Room":
        """Return what tasks leave of an instance."""
        left = {one["name"]: one for one in remaining(state, instance)}
        taken = {"tcp": "PORTS", "udp": "PORTS_UDP"}
        return cls(
            instance=instance,
            cpu=left.get("CPU", {}).get("integerValue", 0),
            memory=left.get("MEMORY", {}).get("integerValue", 0),
            ports={
                protocol: frozenset(int(port) for port in left.get(name, {}).get("stringSetValue") or ())
                for protocol, name in taken.items()
            },
            groups=Counter(state.occupancy.of(instance.arn).groups),
            attributes={one["name"]: one["value"] or "" for one in attributes_of(state, instance)},
        )

    def without(self, need: Need) -> "Room":
        """Return what is left when one more task is there."""
        return replace(
            self,
            cpu=self.cpu - need.cpu,
            memory=self.memory - need.memory,
            ports={protocol: taken | need.ports.get(protocol, frozenset()) for protocol, taken in self.ports.items()},
            groups=self.groups + Counter([need.group]),
        )


def rooms(state: State, cluster: Cluster) -> list[Room]:
    """Return the container instances of a cluster that tasks may be placed on."""
    return [Room.of(state, one) for one in state.instances_of_cluster(cluster.arn) if one.status == "ACTIVE"]


def _meets(room: Room, constraint: Json, need: Need) -> bool:
    if constraint["type"] == "distinctInstance":
        return not room.groups[need.group]
    facts = {f"{ATTRIBUTE}{name}": (value,) for name, value in room.attributes.items()}
    instance = room.instance
    own = {"ec2InstanceId": (instance.ec2_instance_id,), "agentConnected": (str(instance.agent_connected).lower(),)}
    return query(constraint.get("expression", ""))(facts | own | {"task:group": tuple(room.groups)})


_OBSTACLES: Final[tuple[tuple[str, Callable[[Room, Need], bool]], ...]] = (
    ("AGENT", lambda room, _: not room.instance.agent_connected),
    ("RESOURCE:CPU", lambda room, need: need.cpu > room.cpu),
    ("RESOURCE:MEMORY", lambda room, need: need.memory > room.memory),
    (
        "RESOURCE:PORTS",
        lambda room, need: any(ports & room.ports.get(protocol, frozenset()) for protocol, ports in need.ports.items()),
    ),
    ("ATTRIBUTE", lambda room, need: not all(_meets(room, one, need) for one in need.constraints)),
)
"""Why a task can't be on an instance, as a failure of RunTask says it."""


def obstacle(room: Room, need: Need) -> str:
    """Return the first reason why a task can't be on an instance; empty where it can."""
    return next((reason for reason, holds in _OBSTACLES if holds(room, need)), "")


def place(found: Sequence[Room], need: Need) -> tuple[Room | None, list[Json]]:
    """Return the instance for a task; where there is none, why each of them is not."""
    reasons = [(room, obstacle(room, need)) for room in found]
    free = [room for room, reason in reasons if not reason]
    if not free:
        return None, [{"arn": room.instance.arn, "reason": reason} for room, reason in reasons]
    strategy = need.strategy or ({"type": "spread", "field": "instanceId"},)
    return min(free, key=lambda room: (*(_cost(one, room, found, need) for one in strategy), room.groups.total())), []


def _cost(strategy: Json, room: Room, found: Sequence[Room], need: Need) -> int:
    """Return how much a strategy is against an instance."""
    by = strategy.get("field") or ""
    if strategy["type"] == "binpack":
        return room.memory if by.lower() == "memory" else room.cpu
    if strategy["type"] == "random":
        return 0
    return sum(one.groups[need.group] for one in found if _domain(one, by) == _domain(room, by))


def _domain(room: Room, by: str) -> str:
    return room.instance.arn if by.lower() in INSTANCES else room.attributes.get(by.removeprefix(ATTRIBUTE), "")


def strategy_fault(strategy: Mapping[str, Any]) -> str:
    """Return why tasks can't be placed by a strategy; empty where they can.

    type     field
    random   any, it is not used
    binpack  cpu, memory
    spread   instanceId, host, attribute:NAME
    """
    kind, field_ = strategy["type"], strategy.get("field") or ""
    match kind:
        case "random":
            return ""
        case "binpack":
            holds, fields = field_.lower() in PACKED, "cpu or memory"
        case _:
            named = field_.startswith(ATTRIBUTE) and field_ != ATTRIBUTE
            holds, fields = field_.lower() in INSTANCES or named, "instanceId, host or attribute:NAME"
    said = f"'{field_}'" if field_ else "nothing"
    return "" if holds else f"The field of a placement strategy of type {kind} must be {fields}, not {said}."


def constraint_fault(constraint: Mapping[str, Any]) -> str:
    """Return what is wrong with a constraint besides how its expression is spelled; empty where nothing is."""
    expression = constraint.get("expression") or ""
    if constraint["type"] == "distinctInstance":
        return "A placement constraint of type distinctInstance can't have an expression." if expression else ""
    if not expression:
        return "A placement constraint of type memberOf must have an expression."
    if len(expression) > EXPRESSION_MOST:
        return f"The expression of a placement constraint can have at most {EXPRESSION_MOST} characters."
    return ""


def on_instance(task: Task, instance: ContainerInstance, *, pinned: bool) -> Task:
    """Return a new task on an instance. Where nothing asked for that one, the runtime may still choose another."""
    return replace(
        task,
        container_instance_arn=instance.arn,
        node=instance.node if pinned else "",
        availability_zone=instance_zone(instance) or task.availability_zone,
    )


def seen_on(task: Task, sighting: Sighting | None, state: State) -> Task:
    """Return a task with the container instance that it was seen on; Fargate's tasks have none."""
    if sighting is None or not sighting.node or task.launch_type == FARGATE or task.last_status is TaskStatus.STOPPED:
        return task
    instances = (one for one in state.instances_of_cluster(task.cluster_arn) if one.node == sighting.node)
    instance = next(instances, None)
    if instance is None or instance.arn == task.container_instance_arn:
        return task
    return versioned(task, replace(task, container_instance_arn=instance.arn))
