"""A crowd of clients that create, update and stop at once, and remember what was acknowledged to each of them.

A call whose answer never came leaves its matter in doubt: it may have happened, or not. What was acknowledged must be
there, whatever became of the server since.
"""

import random
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched, pairwise
from typing import Any

from botocore.exceptions import BotoCoreError

type Json = dict[str, Any]

CLUSTER = "crowd"
FAMILY = "crowd"
SHARED = "shared"
BEHAVIOURS: dict[str, Json] = {
    "stays": {},
    "ends": {"command": ["true"]},
}
"""Containers by what their tasks do."""


def container(behaviour: str) -> Json:
    return {"name": "app", "image": "app:1", "memory": 16, **BEHAVIOURS[behaviour]}


class CutOffError(BotoCoreError):
    """The server died between an answer's head and its end, which botocore takes for an answer that says nothing."""

    fmt = "cut off"


@dataclass
class Client:
    """One of them, and what it knows."""

    number: int
    ecs: Any
    seed: int = 0
    revisions: list[int] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)
    """Acknowledged tasks: what is to become of each, `stays`, `ends` or `stopped`."""
    desired: int | None = None
    """What its own service was last told; None before it was made, and where that is in doubt."""
    definition: str = ""
    made: bool = False
    doubts: int = 0
    """Calls whose answer never came."""

    @property
    def name(self) -> str:
        return f"client-{self.number}"

    def act(self, rounds: Iterable[object]) -> None:
        """Do this and that, until the rounds are over or nobody answers."""
        chance = random.Random(f"{self.seed}-{self.number}")  # noqa: S311 - no secret
        for _ in rounds:
            try:
                self._register()
                self._run(chance)
                self._stop(chance)
                self._serve(chance)
                self._look()
            except BotoCoreError:
                self.doubts += 1
                return

    def _ask(self, operation: str, **what: Any) -> Json:
        said: Json = getattr(self.ecs, operation)(**what)
        if said.keys() == {"ResponseMetadata"}:
            raise CutOffError
        return said

    def _register(self) -> None:
        said = self._ask("register_task_definition", family=FAMILY, containerDefinitions=[container("stays")])
        self.revisions.append(said["taskDefinition"]["revision"])

    def _run(self, chance: random.Random) -> None:
        behaviour = chance.choice(list(BEHAVIOURS))
        said = self._ask(
            "run_task", cluster=CLUSTER, taskDefinition=behaviour, count=chance.randint(1, 3), startedBy=self.name
        )
        assert said["failures"] == []
        self.tasks |= dict.fromkeys((one["taskArn"] for one in said["tasks"]), behaviour)

    def _stop(self, chance: random.Random) -> None:
        arns = [arn for arn, fate in self.tasks.items() if fate == "stays"]
        if arns and chance.random() < 0.5:
            arn = chance.choice(arns)
            self.tasks[arn] = "in doubt"
            self._ask("stop_task", cluster=CLUSTER, task=arn, reason=self.name)
            self.tasks[arn] = "stopped"

    def _serve(self, chance: random.Random) -> None:
        desired, revision = chance.randint(0, 3), chance.choice(self.revisions)
        self.desired = None
        what = {"cluster": CLUSTER, "taskDefinition": f"{FAMILY}:{revision}", "desiredCount": desired}
        if self.made:
            told = self._ask("update_service", service=self.name, **what)["service"]
        else:
            told = self._created(what, chance)
        self.made, self.desired, self.definition = True, desired, told["taskDefinition"]
        shared = chance.randint(1, 5)
        self._ask(
            "update_service", cluster=CLUSTER, service=SHARED, desiredCount=shared, forceNewDeployment=shared == 1
        )

    def _created(self, what: Json, chance: random.Random) -> Json:
        """Create its service: twice, as clients do whose first answer was late, with one token."""
        said = {"serviceName": self.name, "clientToken": f"{self.name}-{chance.random()}", **what}
        first = self._ask("create_service", **said)["service"]
        second: Json = self._ask("create_service", **said)["service"]
        assert first["serviceArn"] == second["serviceArn"]
        assert first["deployments"][0]["id"] == second["deployments"][0]["id"]
        return second

    def _look(self) -> None:
        said = self._ask("describe_services", cluster=CLUSTER, services=[self.name, SHARED])
        assert said["failures"] == []
        for service in said["services"]:
            in_order(service)


def in_order(service: Json) -> None:
    """Judge what any client sees of any service at any time."""
    deployments, events = service["deployments"], service["events"]
    assert [one["status"] for one in deployments].count("PRIMARY") == (service["status"] == "ACTIVE")
    assert len({one["id"] for one in deployments}) == len(deployments)
    for count in ("runningCount", "pendingCount"):
        assert sum(one[count] for one in deployments) == service[count], (count, service)
    assert all(later["createdAt"] >= earlier["createdAt"] for later, earlier in pairwise(events)), events
    assert len({one["id"] for one in events}) == len(events) <= 100


@dataclass
class Crowd:
    """All of them."""

    ecs: Any
    clients: list[Client]

    @classmethod
    def of(cls, ecs: Any, size: int) -> "Crowd":
        """Make a crowd, and what its clients share."""
        ecs.create_cluster(clusterName=CLUSTER)
        for behaviour in BEHAVIOURS:
            ecs.register_task_definition(family=behaviour, containerDefinitions=[container(behaviour)])
        ecs.create_service(cluster=CLUSTER, serviceName=SHARED, taskDefinition="stays", desiredCount=1)
        return cls(ecs=ecs, clients=[Client(number=number, ecs=ecs) for number in range(size)])

    def act(self, rounds: "Rounds") -> None:
        """Have all act at once; raise what any of them has found."""
        with ThreadPoolExecutor(len(self.clients)) as pool:
            for client in self.clients:
                client.seed += 1
            for found in [pool.submit(client.act, iter(rounds)) for client in self.clients]:
                found.result()

    @property
    def acknowledged(self) -> dict[str, str]:
        return {arn: fate for client in self.clients for arn, fate in client.tasks.items()}

    def all(self, operation: str, **what: Any) -> Iterator[Any]:
        """Yield everything that a paginator lists."""
        pages = self.ecs.get_paginator(operation).paginate(**what)
        yield from pages.search("taskArns || serviceArns || taskDefinitionArns")

    def tasks(self) -> dict[str, Json]:
        """Describe all tasks that are listed; none may be missing."""
        found: dict[str, Json] = {}
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.all("list_tasks", cluster=CLUSTER, desiredStatus=status)
        ]
        for some in batched(dict.fromkeys(arns), 100):
            said = self.ecs.describe_tasks(cluster=CLUSTER, tasks=list(some))
            assert said["failures"] == []
            found |= {one["taskArn"]: one for one in said["tasks"]}
        return found

    def services(self) -> dict[str, Json]:
        """Describe all services that are listed."""
        found: dict[str, Json] = {}
        for some in batched(self.all("list_services", cluster=CLUSTER), 10):
            said = self.ecs.describe_services(cluster=CLUSTER, services=list(some))
            assert said["failures"] == []
            found |= {one["serviceName"]: one for one in said["services"]}
        return found


@dataclass
class Rounds:
    """How long they act: a number of rounds each, or until somebody says that it is enough."""

    count: int = 0
    enough: threading.Event = field(default_factory=threading.Event)
    done: int = 0

    def __iter__(self) -> Iterator[int]:
        rounds = 0
        while not self.enough.is_set() and (not self.count or rounds < self.count):
            yield rounds
            rounds += 1
            self.done += 1
