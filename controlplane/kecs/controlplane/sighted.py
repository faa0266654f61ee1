"""What a runtime has told so far of tasks and machines, and what follows from what it did not tell. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Node, Sighting


class Sighted:
    """The last sighting of each task, and the machines."""

    def __init__(self) -> None:
        self._last: dict[str, Sighting] = {}
        self._nodes: dict[str, Node] = {}
        self._round: set[str] = set()
        self._round_nodes: set[str] = set()
        self.synced = False
        """All that there is has been told once since the runtime was last reached."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Machines by name."""
        return self._nodes

    def of(self, arn: str) -> Sighting | None:
        """Return the last sighting of a task."""
        return self._last.get(arn)

    def lost(self) -> None:
        """The runtime is not reached any more: what was seen stays, and what comes next begins from nothing."""
        self.synced = False
        self._round.clear()
        self._round_nodes.clear()

    def tell(self, sighting: Sighting) -> None:
        """Take over a sighting."""
        self._round.add(sighting.task_arn)
        self._last[sighting.task_arn] = self._explained(sighting) if sighting.gone else sighting

    def tell_node(self, node: Node) -> None:
        """Take over a machine."""
        self._round_nodes.add(node.name)
        self._nodes[node.name] = node

    def resynced(self, tasks: Iterable[Task]) -> None:
        """Take over that all has been told: what was not is gone; but not a task that was never seen: it is to come."""
        for name in self._nodes.keys() - self._round_nodes:
            del self._nodes[name]
        for task in tasks:
            if task.arn not in self._round and task.seen and task.last_status is not TaskStatus.STOPPED:
                self.gone(task.arn)
        for arn in self._last.keys() - self._round:
            if not self._last[arn].gone:
                self.gone(arn)
        self._round.clear()
        self._round_nodes.clear()
        self.synced = True

    def gone(self, arn: str) -> None:
        """Take over that nothing is left of a task."""
        self._last[arn] = self._explained(Sighting(task_arn=arn, gone=True))

    def forget(self, arn: str) -> None:
        """Let go of a task that is over."""
        self._last.pop(arn, None)

    def _explained(self, sighting: Sighting) -> Sighting:
        """Return a sighting of nothing with the machine that it was on, and whether that is lost too."""
        before = self._last.get(sighting.task_arn)
        node = sighting.node or (before.node if before else "")
        there = self._nodes.get(node)
        lost = sighting.node_lost or bool(node and (there is None or not there.ready))
        return replace(sighting, node=node, node_lost=lost)
