"""One service while its scheduler decides: what it finds, and what it has decided so far. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from kecs.controlplane import events, lifecycle, placement, task_making
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import ContainerInstance, Record, Service, Task, TaskDefinition
from kecs.controlplane.records.services import Deployment
from kecs.controlplane.records.tasks import Health, Registration, StopCode, TaskStatus
from kecs.controlplane.scheduling_view import Schedule, ServiceView
from kecs.controlplane.state import Changes

STARTING: Final = frozenset({TaskStatus.PROVISIONING, TaskStatus.PENDING, TaskStatus.ACTIVATING})
PRESENT: Final = STARTING | {TaskStatus.RUNNING}
"""What AWS counts: pending, and running. A task that is to stop counts as long as it has one of these."""


ON_MACHINES: Final = frozenset({"EC2", "MANAGED_INSTANCES"})
"""Launch types whose tasks need room on a container instance."""


DRAINING: Final = "DRAINING"


class Fitness(IntEnum):
    """How much a task is worth to its service: the least is stopped first."""

    UNHEALTHY = 0
    STARTING = 1
    SETTLING = 2
    """It runs, and is not known to be healthy yet."""
    HEALTHY = 3


class Draft:
    """A service's records as one turn of its scheduler changes them."""

    def __init__(self, view: ServiceView, now: datetime, ids: Ids) -> None:
        self.view = view
        self.now = now
        self.ids = ids
        self.service: Service = view.service
        self._tasks = {task.arn: task for task in view.tasks}
        self._live: list[Task] | None = None
        self._present: list[Task] | None = None
        self._before: dict[str, Record] = {view.service.key: view.service, **self._tasks}
        self._others: dict[str, Record] = {}
        self._deleted: dict[str, Record] = {}
        self._messages: list[tuple[str, str]] = []
        self._due: list[datetime] = []
        self._fitness: dict[str, Fitness] = {}
        self._checked: dict[str, bool] = {}
        """Whether a definition has a health check that counts, by its ARN."""
        self._drained = {one.arn for one in view.instances if one.status == DRAINING}
        self._rooms: list[placement.Room] | None = None
        self.unplaced = ""
        """Why a task could not be placed, as the service's history says it."""

    @property
    def primary(self) -> Deployment:
        """The deployment that a rollout goes to."""
        return self.service.deployments[0]

    @property
    def tasks(self) -> list[Task]:
        """All, as they are by now."""
        return list(self._tasks.values())

    @property
    def live(self) -> Sequence[Task]:
        """Those that are to run, and have not stopped."""
        if self._live is None:
            self._live = [
                one for one in self._tasks.values() if one.desired_status is TaskStatus.RUNNING and not has_stopped(one)
            ]
        return self._live

    @property
    def present(self) -> Sequence[Task]:
        """Those that AWS counts as pending or running."""
        if self._present is None:
            self._present = [one for one in self._tasks.values() if one.last_status in PRESENT]
        return self._present

    def fitness(self, task: Task) -> Fitness:
        """Return how fit a task is, and wake up when that changes by itself."""
        if task.arn not in self._fitness:
            self._fitness[task.arn] = Fitness.UNHEALTHY if self.is_leaving(task) else self._judged(task)
        return self._fitness[task.arn]

    def is_leaving(self, task: Task) -> bool:
        """Tell whether a task's machine is being drained: it is replaced as an unhealthy one is."""
        return task.container_instance_arn in self._drained

    def _judged(self, task: Task) -> Fitness:
        if task.last_status is not TaskStatus.RUNNING:
            return Fitness.STARTING
        began = task.started_at or task.created_at
        if task.health is Health.UNHEALTHY or task.unhealthy_in:
            grace = began + timedelta(seconds=self.service.health_check_grace_period_s or 0)
            if grace <= self.now:
                return Fitness.UNHEALTHY
            self.wake(grace)
            return Fitness.SETTLING
        if self._is_checked(task):
            return Fitness.HEALTHY if task.health is Health.HEALTHY else Fitness.SETTLING
        settled = began + self.view.settled_after
        if settled <= self.now:
            return Fitness.HEALTHY
        self.wake(settled)
        return Fitness.SETTLING

    def _is_checked(self, task: Task) -> bool:
        if task.definition_arn not in self._checked:
            definition = self.view.find(TaskDefinition, task.definition_arn)
            containers = definition.containers if definition else []
            found = any(one.get("healthCheck") and one.get("essential", True) for one in containers)
            self._checked[task.definition_arn] = found
        return self._checked[task.definition_arn]

    def is_protected(self, task: Task) -> bool:
        """Tell whether scaling may not stop a task, and wake up when it may."""
        if not task.protected:
            return False
        if task.protected_until is None:
            return True
        if task.protected_until <= self.now:
            return False
        self.wake(task.protected_until)
        return True

    def start(
        self, deployment: Deployment, count: int, instance: ContainerInstance | None = None, *, task_set: str = ""
    ) -> list[Task]:
        """Make tasks of a deployment; none where its definition is gone."""
        definition = self.view.find(TaskDefinition, deployment.definition_arn)
        if definition is None or count <= 0:
            return []
        wish = task_making.service_wish(
            self.service,
            deployment,
            cluster=self.view.cluster,
            definition=definition,
            instance=instance,
            registration=Registration.WANTED if deployment.load_balancers else Registration.NONE,
        )
        wish = replace(wish, volume_configurations=tuple(self.service.further.get("volumeConfigurations") or ()))
        providers = Counter(one.capacity_provider for one in self.live if one.deployment_id == deployment.id)
        made: list[Task] = []
        for _ in range(count):
            if deployment.capacity_provider_strategy:
                provider = task_making.chosen_provider(deployment.capacity_provider_strategy, providers)
                providers[provider] += 1
                wish = replace(wish, capacity_provider=provider, launch_type=task_making.launch_type_of(provider))
            task = task_making.new_task(
                cluster=self.view.cluster, definition=definition, wish=wish, now=self.now, ids=self.ids
            )
            placed = task if instance else self._placed(task, definition)
            if placed is None:
                break
            made.append(placed)
        if not made:
            return []
        self._change(*made)
        for group in events.groups([one.id for one in made]):
            self.tell(events.started(group), task_set=task_set)
        return made

    def _placed(self, task: Task, definition: TaskDefinition) -> Task | None:
        """Return a new task on a machine with room for it; None where there is none. Fargate needs no machine."""
        if task.launch_type not in ON_MACHINES:
            return task
        if self._rooms is None:
            self._rooms = self.view.rooms()
        if not self._rooms and self.view.nodes:
            return task  # the runtime has machines that are no container instances yet: it chooses one
        need = placement.Need.of(task, definition)
        room, failures = placement.place(self._rooms, need)
        if room is None:
            self.unplaced = events.unplaced(failures)
            return None
        self._rooms[self._rooms.index(room)] = room.without(need)
        return placement.on_instance(task, room.instance, pinned=bool(need.constraints or need.strategy))

    def stop(self, stopped: Iterable[Task], *, task_set: str = "") -> None:
        """Have tasks end: the unhealthy ones for that, the others because the service is scaled."""
        ids = []
        for task in stopped:
            reason = self._why(task, task_set)
            self._change(lifecycle.stop(task, StopCode.SERVICE_SCHEDULER_INITIATED, reason, self.now))
            ids.append(task.id)
        for group in events.groups(ids):
            self.tell(events.stopped(group), task_set=task_set)

    def _why(self, task: Task, task_set: str) -> str:
        """Return why a task is stopped, and tell of it where it is for its health."""
        if self.is_leaving(task) or self.fitness(task) is not Fitness.UNHEALTHY:
            return f"Scaling activity initiated by (deployment {task.deployment_id})"
        if task.unhealthy_in:
            return f"Task failed ELB health checks in (target-group {task.unhealthy_in})"
        self.tell(events.failed_health_checks(task.id), task_set=task_set)
        return "Task failed container health checks"

    def _change(self, *tasks: Task) -> None:
        self._tasks |= {one.arn: one for one in tasks}
        self._live = self._present = None

    def account(self, task: Task) -> None:
        """Remember that a task's end has been counted."""
        self._change(replace(self._tasks[task.arn], accounted=True))

    def tell(self, message: str, *, task_set: str = "") -> None:
        """Add a line to the service's history, about it or about one of its task sets."""
        self._messages.append((message, task_set))

    def wake(self, at: datetime) -> None:
        """Look again at a time though nothing changes."""
        self._due.append(at)

    def delete(self, record: Record) -> None:
        """Forget a record."""
        self._deleted[record.key] = record

    def put(self, record: Record) -> None:
        """Keep a record that is neither the service nor one of its tasks."""
        self._others[record.key] = record

    def found[R: Record](self, kind: type[R], key: str) -> R | None:
        """Return another record as it is by now."""
        changed = self._others.get(key)
        return changed if isinstance(changed, kind) else self.view.find(kind, key)

    def change(self, deployment_id: str, **changes: Any) -> None:
        """Change fields of one deployment of the service, and when it was changed."""
        self.service = replace(
            self.service,
            deployments=tuple(
                self._changed(one, changes) if one.id == deployment_id else one for one in self.service.deployments
            ),
        )

    def _changed(self, before: Deployment, changes: Mapping[str, Any]) -> Deployment:
        after = replace(before, **changes)
        return before if after == before else replace(after, updated_at=self.now)

    def schedule(self) -> Schedule:
        """Return what has been decided."""
        service = self.service
        for message, task_set in self._messages:
            service = events.told(service, message, task_set=task_set, now=self.now, ids=self.ids)
        candidates: list[Record] = [service, *self._tasks.values(), *self._others.values()]
        put = tuple(one for one in candidates if self._before.get(one.key) is not one)
        put = tuple(one for one in put if self._before.get(one.key) != one)
        later = [at for at in self._due if at > self.now]
        put = tuple(one for one in put if one.key not in self._deleted)
        return Schedule(changes=Changes(put=put, delete=tuple(self._deleted.values())), due=min(later, default=None))


def has_stopped(task: Task) -> bool:
    """Tell whether nothing of a task is left."""
    return task.last_status is TaskStatus.STOPPED
