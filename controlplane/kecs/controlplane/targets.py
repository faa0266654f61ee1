"""Keeps target groups what `load_balancers` wishes: level-triggered, beside the scheduler, which never waits for it.

What fails is tried again, later each time; the service's history says so once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from kecs.controlplane import load_balancers
from kecs.controlplane.agenda import Agenda
from kecs.controlplane.clock import Clock
from kecs.controlplane.errands import retry
from kecs.controlplane.errors import ApiError
from kecs.controlplane.load_balancers import Target, TargetHealth, Wish
from kecs.controlplane.operation import Ids
from kecs.controlplane.records import Service, Task
from kecs.controlplane.records.tasks import Registration
from kecs.controlplane.state import Changes
from kecs.controlplane.store import Store
from kecs.controlplane.targets_client import TargetGroups, TargetsError

type Log = Callable[[str, Mapping[str, Any]], None]

BATCH: Final = 16
"""Services whose groups are told at once."""
HEALTH_EVERY: Final = timedelta(seconds=15)


class Targets:
    """What tells load balancers where tasks are."""

    def __init__(
        self,
        store: Store,
        groups: TargetGroups,
        *,
        clock: Clock,
        ids: Ids,
        log: Log = lambda _name, _fields: None,
        health_every: timedelta = HEALTH_EVERY,
    ) -> None:
        self._store, self._groups, self._clock, self._ids, self._log = store, groups, clock, ids, log
        self._health_every = health_every
        self._services = Agenda()
        self._awake = asyncio.Event()
        self._failures: Counter[str] = Counter()
        self._looked_at: dict[str, datetime] = {}
        self.errors: dict[str, str] = {}
        """What failed last and has not succeeded since, by target group."""

    async def run(self) -> None:
        """Tell them until it is cancelled."""
        ends = self._store.subscribe(self._changed)
        try:
            self._changed(Changes(put=tuple(self._store.state.every(Task))))
            while True:
                self._awake.clear()
                services = self._services.take(BATCH, self._clock.now())
                await asyncio.gather(*(self._try(arn) for arn in services))
                if not self._services:
                    await self._clock.wait(self._awake, self._services.next)
        finally:
            ends()

    def _changed(self, changes: Changes) -> None:
        for record in changes.put:
            if isinstance(record, Task) and record.registration not in {Registration.NONE, Registration.GONE}:
                self._services.add(record.service_arn)
                self._awake.set()

    async def _try(self, arn: str) -> None:
        try:
            await self._keep(arn)
        except ApiError as error:  # the store keeps nothing now; what was decided is taken back, and decided again
            self._log("targets_not_kept", {"service": arn, "error": str(error)})
            self._services.at(arn, self._clock.now() + retry(1))

    async def _keep(self, arn: str) -> None:
        """Bring a service's groups to what they are to be, and look at the health of their targets."""
        service = self._store.state.get(Service, arn)
        if service is None:
            return
        await self._commit(load_balancers.let_go(self._store.state, service))
        for wish in load_balancers.wishes(self._store.state, service):
            await self._tell(arn, wish)
        await self._judge(arn)

    async def _tell(self, arn: str, wish: Wish) -> None:
        try:
            await self._groups.tell(wish.act, wish.group, wish.targets.values())
        except TargetsError as error:
            reason = str(error)
            self._failures[arn] += 1
            self._said(wish.group, reason, act=wish.act.value)
            self._services.at(arn, self._clock.now() + retry(self._failures[arn]))
            await self._follow(arn, partial(self._failed, wish, reason))
        else:
            self._failures.pop(arn, None)
            self.errors.pop(wish.group, None)
            await self._follow(arn, partial(self._done, wish))

    def _done(self, wish: Wish, service: Service) -> Changes:
        return load_balancers.done(self._store.state, service, wish, now=self._clock.now(), ids=self._ids)

    def _failed(self, wish: Wish, reason: str, service: Service) -> Changes:
        return load_balancers.failed(self._store.state, service, wish, reason, now=self._clock.now(), ids=self._ids)

    async def _judge(self, arn: str) -> None:
        """Ask for the health of a service's targets, now and then as long as it has some."""
        groups = load_balancers.watched(self._store.state.tasks_of_service(arn))
        if not groups:
            self._looked_at.pop(arn, None)
            return
        now = self._clock.now()
        due = self._looked_at.get(arn, now - self._health_every) + self._health_every
        if now < due:
            self._services.at(arn, due)
            return
        self._looked_at[arn] = now
        self._services.at(arn, now + self._health_every)
        for group in groups:
            try:
                found = await self._groups.health(group)
            except TargetsError as error:
                self._said(group, str(error), act="health")
                continue
            await self._follow(arn, partial(self._judged, group, found))

    def _judged(self, group: str, health: Mapping[Target, TargetHealth], service: Service) -> Changes:
        return load_balancers.judged(self._store.state, service, group, health, now=self._clock.now(), ids=self._ids)

    async def _follow(self, arn: str, decide: Callable[[Service], Changes]) -> None:
        """Keep what follows, decided from the service as it is by now."""
        service = self._store.state.get(Service, arn)
        if service is not None:
            await self._commit(decide(service))

    async def _commit(self, changes: Changes) -> None:
        if changes:
            await self._store.commit(changes)

    def _said(self, group: str, error: str, *, act: str) -> None:
        if self.errors.get(group) != error:
            self._log("targets_failed", {"target_group": group, "act": act, "error": error})
        self.errors[group] = error
