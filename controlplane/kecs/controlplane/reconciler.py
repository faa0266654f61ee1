"""Brings tasks to run and to end: what the records want, the runtime is told until it is so.

One loop decides, by `lifecycle` of tasks and by `scheduling` of services; workers give the runtime its orders; a
listener takes in what it sees. Whatever fails is tried again, later each time, and keeps nothing else waiting. While
the runtime can't be reached tasks keep their state.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane import lifecycle, placement
from kecs.controlplane.agenda import Agenda
from kecs.controlplane.clock import Clock
from kecs.controlplane.errands import retry
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Ids
from kecs.controlplane.reconciler_orders import Orders
from kecs.controlplane.records import Cluster, ContainerInstance, Record, Service, Task, TaskDefinition, TaskSet
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Launch, Node, Resynced, Runtime, Sighting
from kecs.controlplane.scheduling import schedule, see
from kecs.controlplane.scheduling_limits import SETTLED_AFTER
from kecs.controlplane.sighted import Sighted
from kecs.controlplane.state import Changes, State
from kecs.controlplane.store import Store

type Log = Callable[[str, Mapping[str, Any]], None]
"""Writes an event: its name and its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What a keeper decides from."""

    state: State
    nodes: Mapping[str, Node]
    synced: bool
    """The runtime has told all its machines."""
    now: datetime
    ids: Ids


type Keeper = Callable[[Keeping], Changes]
"""Something else that keeps records right: machines as container instances, the end of what is over. Pure."""

BATCH: Final = 200
"""Tasks, and services, that are decided about between two commits."""
TICK: Final = timedelta(seconds=30)
"""How often keepers are asked though nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerHealth:
    """How reconciling goes."""

    runtime: str
    ok: bool
    synced: bool
    """The runtime has told all that runs since it was last reached."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """What failed last and has not succeeded since, by component: runtime, orders, tasks, services, keepers, store."""
    waiting: int = 0
    """Tasks whose order no worker has begun with."""
    counts: Mapping[str, int] = field(default_factory=dict)


def launches(state: State) -> Iterator[Launch]:
    """Yield the tasks that have not stopped, as a runtime that remembers nothing takes them up again."""
    for task in state.every(Task):
        definition, cluster = state.get(TaskDefinition, task.definition_arn), state.get(Cluster, task.cluster_arn)
        if task.last_status is not TaskStatus.STOPPED and definition is not None and cluster is not None:
            yield Launch(task=task, definition=definition, cluster=cluster)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What fails, until it goes well again."""

    error: str = ""
    in_a_row: int = 0


class Reconciler:
    """What makes true what the records want."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        *,
        clock: Clock,
        ids: Ids,
        log: Log = lambda _name, _fields: None,
        keepers: Iterable[Keeper] = (),
        settled_after: timedelta = SETTLED_AFTER,
    ) -> None:
        self._store, self._runtime, self._clock, self._ids, self._log = store, runtime, clock, ids, log
        self._keepers, self._settled_after = tuple(keepers), settled_after
        self._sighted = Sighted()
        self._orders = Orders(store.state, self._sighted, runtime, clock, look=self._look)
        self._tasks, self._services = Agenda(), Agenda()
        self._keep, self._keep_at = True, clock.now()
        self._awake = asyncio.Event()
        self._faults: dict[tuple[str, str], Fault] = {}
        self._at_rest: dict[str, tuple[Task, Sighting | None]] = {}
        """Tasks of which nothing becomes as long as record and sighting are these."""
        self._counts: Counter[str] = Counter()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """What the runtime has told of its machines."""
        return self._sighted.nodes

    def health(self) -> ReconcilerHealth:
        """Say how it goes."""
        errors = {component: fault.error for (component, _), fault in self._faults.items()}
        errors |= {"orders": self._orders.error} if self._orders.error else {}
        return ReconcilerHealth(
            runtime=self._runtime.name,
            ok=self._sighted.synced and not errors,
            synced=self._sighted.synced,
            errors=errors,
            waiting=self._orders.waiting,
            counts=self._counts + self._orders.counts,
        )

    async def run(self) -> None:
        """Reconcile until it is cancelled. Tasks go on."""
        ends = self._store.subscribe(self._changed)
        try:
            self._changed(Changes(put=(*self._store.state.every(Task), *self._store.state.every(Service))))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                self._orders.start(group)
                while True:
                    await self._turn()
        finally:
            ends()

    def _changed(self, changes: Changes) -> None:
        """Have all looked at that a change concerns."""
        for record in (*changes.put, *changes.delete):
            match record:
                case Task():
                    self._tasks.add(record.arn)
                    if record.service_arn:
                        self._services.add(record.service_arn)
                case Service():
                    self._services.add(record.arn)
                case TaskSet():
                    self._services.add(record.service_arn)
                case Cluster() | ContainerInstance():
                    self._keep = True
                    self._look_at_daemons()
                    for task in self._store.state.tasks_of_instance(record.arn):
                        if task.service_arn:  # where a machine is drained its tasks are replaced
                            self._services.add(task.service_arn)
                case _:
                    pass
        self._awake.set()

    def _look(self, arn: str) -> None:
        self._tasks.add(arn)
        self._awake.set()

    def _look_at_daemons(self) -> None:
        for service in self._store.state.every(Service):
            if service.scheduling_strategy == "DAEMON" and service.status is not ServiceStatus.INACTIVE:
                self._services.add(service.arn)

    async def _turn(self) -> None:
        """Decide about some of what is to be looked at; wait where there is nothing."""
        self._awake.clear()
        now = self._clock.now()
        if self._keep or self._keep_at <= now:
            self._keep, self._keep_at = False, now + TICK
            await self._decide(["keepers"], lambda _: self._kept(now), again=self._keepers_again)
        tasks = self._tasks.take(BATCH, now)
        await self._decide(tasks, lambda arns: self._lived(arns, now), again=self._tasks.at)
        services = self._services.take(BATCH, now)
        await self._decide(services, lambda arns: self._scheduled(arns, now), again=self._services.at)
        for arn in tasks:
            self._order(arn)
        self._counts["turns"] += 1
        if self._tasks or self._services or self._keep:
            await asyncio.sleep(0)  # requests come between two batches
        else:
            times = (self._keep_at, self._tasks.next, self._services.next)
            await self._clock.wait(self._awake, min(at for at in times if at is not None))

    async def _decide(
        self, subjects: list[str], decide: Callable[[list[str]], Changes], *, again: Callable[[str, datetime], None]
    ) -> None:
        """Keep what is decided about some; where that can't be kept, about one after the other: it may be one's fault.

        Between deciding and applying nothing is awaited, so that nothing that a client was told is overwritten. What is
        new to keepers goes along: a cluster that is made meanwhile waits for the disk as long as this or longer, and so
        has its machines before its client hears of it and runs a task there.
        """
        if not subjects:
            return
        with contextlib.suppress(ApiError):
            if changes := decide(subjects) | self._news():
                await self._store.commit(changes)
            for subject in subjects if self._faults else ():
                self._went_well("store", subject)
            return
        self._keep = True
        waits = []
        for subject in subjects:
            try:
                await self._store.commit(decide([subject]))
            except ApiError as error:
                waits.append(self._failed("store", error, subject))
                again(subject, self._clock.now() + waits[-1])
            else:
                self._went_well("store", subject)
        if len(waits) == len(subjects):  # it is the store's: what it takes back it tells, and that must not be a circle
            await self._clock.sleep_until(self._clock.now() + min(waits))

    def _news(self) -> Changes:
        if not self._keep:
            return Changes()
        self._keep = False
        return self._kept(self._clock.now())

    def _keepers_again(self, _subject: str, when: datetime) -> None:
        self._keep_at = min(self._keep_at, when)

    def _order(self, arn: str) -> None:
        """Have a task's order given, and look at it again when the same may be given again."""
        task, seen = self._store.state.get(Task, arn), self._sighted.of(arn)
        if task is None or task.last_status is TaskStatus.STOPPED:
            self._at_rest.pop(arn, None)
            if seen is not None and seen.gone:
                self._sighted.forget(arn)
        self._orders.want(arn)
        again = self._orders.due(arn).not_before
        if again is not None and again > self._clock.now():
            self._tasks.at(arn, again)

    def _lived(self, arns: Iterable[str], now: datetime) -> Changes:
        """Return what has become of tasks."""
        put: list[Record] = []
        for arn in arns:
            task = self._store.state.get(Task, arn)
            try:
                found = task if task is None else self._advanced(task, now)
            except Exception as error:  # noqa: BLE001 - one task's fault must not stop the others
                self._tasks.at(arn, now + self._failed("tasks", error, arn))
                continue
            self._went_well("tasks", arn)
            if task is None or found is None:
                continue
            if found is not task:
                put.append(found)
                self._tell(task, found)
        return Changes(put=tuple(put))

    def _advanced(self, task: Task, now: datetime) -> Task:
        sighting = self._sighted.of(task.arn)
        rests, on = self._at_rest.get(task.arn, (None, None))
        if rests is task and on == sighting:
            return task
        definition = self._store.state.get(TaskDefinition, task.definition_arn)
        if definition is None:
            raise LookupError(f"task {task.arn} has no definition: {task.definition_arn}")
        found = lifecycle.advance(task, definition, sighting, now)
        found = placement.seen_on(found, sighting, self._store.state)
        due = lifecycle.due(found, definition, sighting)
        if due is not None:
            self._tasks.at(task.arn, max(due, now))
        elif found.container_instance_arn or found.launch_type == placement.FARGATE:
            self._at_rest[task.arn] = found, sighting  # advancing twice is advancing once
        return found

    def _tell(self, before: Task, after: Task) -> None:
        if after.last_status is before.last_status:
            return
        self._counts[after.last_status] += 1
        why = {"stop_code": after.stop_code, "reason": after.stopped_reason} if after.stop_code else {}
        self._log("task_status", {"task": after.arn, "from": before.last_status, "to": after.last_status, **why})

    def _scheduled(self, arns: Iterable[str], now: datetime) -> Changes:
        """Return what is to be done for services."""
        changes = Changes()
        for arn in arns:
            service = self._store.state.get(Service, arn)
            try:
                changes |= Changes() if service is None else self._schedule(service, now)
            except Exception as error:  # noqa: BLE001 - one service's fault must not stop the others
                self._services.at(arn, now + self._failed("services", error, arn))
            else:
                self._went_well("services", arn)
        return changes

    def _schedule(self, service: Service, now: datetime) -> Changes:
        state = self._store.state
        instances = tuple(state.instances_of_cluster(service.cluster_arn))
        view = see(state, service, instances=instances, nodes=self.nodes, settled_after=self._settled_after)
        if view is None:
            return Changes()
        found = schedule(view, now=now, ids=self._ids)
        if found.due is not None:
            self._services.at(service.arn, found.due)
        return found.changes

    def _kept(self, now: datetime) -> Changes:
        """Return what keepers find to be put right."""
        changes = Changes()
        keeping = Keeping(
            state=self._store.state, nodes=self.nodes, synced=self._sighted.synced, now=now, ids=self._ids
        )
        for keeper in self._keepers:
            try:
                changes |= keeper(keeping)
            except Exception as error:  # noqa: BLE001 - one keeper's fault must not stop the others
                self._failed("keepers", error, getattr(keeper, "__name__", repr(keeper)))
            else:
                self._went_well("keepers", getattr(keeper, "__name__", repr(keeper)))
        self._keep = self._keep or bool(changes.delete)  # there may be more: what goes at once is bounded
        return changes

    async def _listen(self) -> None:
        """Take in what the runtime sees, from the beginning whenever it breaks off."""
        while True:
            try:
                async for found in self._runtime.sightings():
                    self._take_in(found)
                raise ConnectionError("the runtime tells nothing any more")  # noqa: TRY301 - one way out of both
            except Exception as error:  # noqa: BLE001 - whatever a runtime raises, it is asked again
                wait = self._failed("runtime", error)
            self._sighted.lost()
            await self._clock.sleep_until(self._clock.now() + wait)

    def _take_in(self, found: Sighting | Node | Resynced) -> None:
        match found:
            case Resynced():
                self._went_well("runtime")
                self._sighted.resynced(self._store.state.every(Task))
                self._keep = True
                for task in self._store.state.every(Task):
                    self._tasks.add(task.arn)
            case Node():
                self._sighted.tell_node(found)
                self._keep = True
                self._look_at_daemons()
            case sighting:
                self._sighted.tell(sighting)
                self._tasks.add(sighting.task_arn)
        self._awake.set()

    def _failed(self, component: str, error: Exception, subject: str = "") -> timedelta:
        """Remember what failed, tell it once, and return how long to wait."""
        said = str(error) or type(error).__name__
        before = self._faults.pop((component, subject), Fault())
        self._faults[component, subject] = Fault(error=said, in_a_row=before.in_a_row + 1)
        self._counts[f"{component}_failed"] += 1
        if before.error != said:
            about = {"subject": subject} if subject else {}
            self._log(f"{component}_failed", {"error": said, "kind": type(error).__name__, **about})
        return retry(before.in_a_row + 1)

    def _went_well(self, component: str, subject: str = "") -> None:
        self._faults.pop((component, subject), None)
