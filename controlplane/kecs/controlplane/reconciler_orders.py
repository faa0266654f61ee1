"""Gives a runtime its orders: some at a time, one to a task, and again when they fail."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from kecs.controlplane import lifecycle
from kecs.controlplane.clock import Clock
from kecs.controlplane.errands import Errand
from kecs.controlplane.lifecycle import Order
from kecs.controlplane.records import Cluster, Service, Task, TaskDefinition
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Launch, Runtime
from kecs.controlplane.sighted import Sighted
from kecs.controlplane.state import State

WORKERS: Final = 16
LIMIT_S: Final = 60
"""No order takes longer: one that does has failed."""


class Orders:
    """Orders on their way."""

    def __init__(
        self, state: State, sighted: Sighted, runtime: Runtime, clock: Clock, *, look: Callable[[str], None]
    ) -> None:
        """`look` has a task looked at again: when an order has been taken, or has failed."""
        self._state, self._sighted, self._runtime, self._clock, self._look = state, sighted, runtime, clock, look
        self._errands: dict[str, Errand] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self.error = ""
        """What failed last, and has not succeeded since."""
        self.counts: Counter[str] = Counter()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Have workers run in a group, until it ends them."""
        for _ in range(WORKERS):
            group.create_task(self._work())

    @property
    def waiting(self) -> int:
        """How many tasks have an order that no worker has begun with."""
        return self._queue.qsize()

    def due(self, arn: str) -> Errand:
        """Return what is known of a task's orders."""
        return self._errands.get(arn, Errand())

    def want(self, arn: str) -> None:
        """Have a task's order given, if it needs one now."""
        if arn in self._queued or not self._sighted.synced:
            return
        order = self._order(arn)
        if order is Order.NOTHING:
            self._errands.pop(arn, None)
        elif self.due(arn).may(order, self._clock.now()):
            self._queued.add(arn)
            self._queue.put_nowait(arn)

    def _order(self, arn: str) -> Order:
        task, sighting = self._state.get(Task, arn), self._sighted.of(arn)
        if task is not None:
            return lifecycle.orders(task, sighting)
        return Order.NOTHING if sighting is None or sighting.gone else Order.FORGET

    async def _work(self) -> None:
        while True:
            arn = await self._queue.get()
            order = self._order(arn)
            try:
                await self._give(arn, order)
            finally:
                self._queued.discard(arn)
            self._look(arn)

    async def _give(self, arn: str, order: Order) -> None:
        """Give one order; what fails is remembered, not raised."""
        if order is Order.NOTHING:
            return
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._carry_out(arn, order)
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises, other tasks' orders go on
            self.error = f"{order}: {str(error) or type(error).__name__}"
            self.counts[f"{order}_failed"] += 1
            self._errands[arn] = self.due(arn).failed(order, self._clock.now())
            return
        self.error = ""
        self.counts[order] += 1
        self._errands[arn] = self.due(arn).taken(order, self._clock.now())
        if order is Order.STOP and self._sighted.of(arn) is None:
            self._sighted.gone(arn)  # it was stopped before anything of it was seen, and won't be

    async def _carry_out(self, arn: str, order: Order) -> None:
        task = self._state.get(Task, arn) or self._stranger(arn)
        definition = self._state.get(TaskDefinition, task.definition_arn)
        cluster = self._state.get(Cluster, task.cluster_arn)
        if order is Order.FORGET or definition is None or cluster is None:
            await self._runtime.forget(task)
        elif order is Order.STOP:
            await self._runtime.stop(task, definition)
        else:
            service = self._state.get(Service, task.service_arn) if task.service_arn else None
            await self._runtime.launch(Launch(task=task, definition=definition, cluster=cluster, service=service))

    def _stranger(self, arn: str) -> Task:
        """Return what stands for a task that runs and is in no record: an earlier store's."""
        stem, _, names = arn.partition(":task/")
        return Task(
            arn=arn,
            cluster_arn=f"{stem}:cluster/{names.rpartition('/')[0]}",
            definition_arn="",
            last_status=TaskStatus.STOPPED,
            containers=(),
            group="",
            created_at=self._clock.now(),
        )
