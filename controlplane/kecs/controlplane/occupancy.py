"""How much of each container instance its tasks take, kept up to date change by change: placement asks often. Pure."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus

type Port = tuple[str, int]
"""tcp or udp, and its number on the machine."""


@dataclass(slots=True)
class Taken:
    """What the tasks of an instance take that have not stopped."""

    tasks: int = 0
    cpu: int = 0
    memory: int = 0
    ports: Counter[Port] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    """Tasks by group."""


class Occupancy:
    """What is taken of every instance."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, Taken] = defaultdict(Taken)

    def of(self, instance_arn: str) -> Taken:
        """Return what is taken of an instance."""
        return self._taken.get(instance_arn) or Taken()

    def change(self, before: Task | None, after: Task | None) -> None:
        """Take over that a task is new, is another than before, or is forgotten."""
        if before is not None and _counts(before):
            self._add(before, -1)
        if after is not None and _counts(after):
            self._add(after, 1)

    def _add(self, task: Task, sign: int) -> None:
        taken = self._taken[task.container_instance_arn]
        taken.tasks += sign
        if not taken.tasks:
            del self._taken[task.container_instance_arn]
            return
        taken.cpu += sign * cpu(task)
        taken.memory += sign * memory(task)
        for port in ports(task):
            _count(taken.ports, port, sign)
        _count(taken.groups, task.group, sign)


def _count[T](counts: Counter[T], what: T, sign: int) -> None:
    counts[what] += sign
    if not counts[what]:
        del counts[what]


def _counts(task: Task) -> bool:
    return bool(task.container_instance_arn) and task.last_status is not TaskStatus.STOPPED


def cpu(task: Task) -> int:
    """Return the CPU units that a task takes: its own, or its containers'."""
    return _number(task.cpu) or sum(_number(one.cpu) for one in task.containers)


def memory(task: Task) -> int:
    """Return the MiB that a task takes: its own, or what its containers have reserved."""
    return _number(task.memory) or sum(
        _number(one.memory_reservation) or _number(one.memory) for one in task.containers
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def ports(task: Task) -> frozenset[Port]:
    """Return the ports of its machine that a task has, or will have."""
    bound = (
        (str(binding.get("protocol") or "tcp"), int(binding["hostPort"]))
        for one in task.containers
        for binding in one.network_bindings
        if binding.get("hostPort")
    )
    return frozenset(bound) | reserved(task)


def reserved(task: Task) -> frozenset[Port]:
    """Return the ports of its machine that a task's definition names."""
    named = (one.partition("/") for one in task.reserved_ports)
    return frozenset((protocol, int(number)) for protocol, _, number in named if number.isdecimal())
