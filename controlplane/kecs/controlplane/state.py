"""All records in memory, and the ways they are looked up. Pure: a store keeps it, see `store`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kecs.controlplane.records import Service, Task, TaskDefinition

if TYPE_CHECKING:
    from kecs.controlplane.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose records: each region of each account has its own."""

    partition: str = "aws"
    region: str
    account: str

    @classmethod
    def of(cls, arn: str) -> Self:
        """Read it from an ARN."""
        _, partition, _, region, account, _ = arn.split(":", 5)
        return cls(partition=partition, region=region, account=account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be kept, all of it or nothing."""

    put: tuple["Record", ...] = ()
    """New records, and new values of those with the same key."""
    delete: tuple["Record", ...] = ()

    def __or__(self, other: Self) -> Self:
        return type(self)(put=self.put + other.put, delete=self.delete + other.delete)

    def __bool__(self) -> bool:
        return bool(self.put or self.delete)


class State:
    """Every record, by kind and key, with indexes for what is asked often. Oldest first, everywhere."""

    def __init__(self, records: Iterable["Record"] = ()) -> None:
        self._kinds: dict[type[Any], dict[str, Any]] = defaultdict(dict)
        self._tasks_of_cluster: dict[str, dict[str, None]] = defaultdict(dict)
        self._tasks_of_service: dict[str, dict[str, None]] = defaultdict(dict)
        self._services_of_cluster: dict[str, dict[str, None]] = defaultdict(dict)
        self._revisions: dict[tuple[Scope, str], dict[str, None]] = defaultdict(dict)
        self.apply(Changes(put=tuple(records)))

    def get[R: "Record"](self, kind: type[R], key: str) -> R | None:
        """Return one record."""
        found: R | None = self._kinds[kind].get(key)
        return found

    def every[R: "Record"](self, kind: type[R]) -> Iterator[R]:
        """Yield all records of a kind."""
        yield from list(self._kinds[kind].values())

    def count(self, kind: type["Record"]) -> int:
        """Return how many there are of a kind."""
        return len(self._kinds[kind])

    def tasks_of_cluster(self, arn: str) -> list[Task]:
        """Return a cluster's tasks, the stopped ones too."""
        return [self._kinds[Task][key] for key in self._tasks_of_cluster.get(arn, ())]

    def tasks_of_service(self, arn: str) -> list[Task]:
        """Return the tasks that a service made, the stopped ones too."""
        return [self._kinds[Task][key] for key in self._tasks_of_service.get(arn, ())]

    def services_of_cluster(self, arn: str) -> list[Service]:
        """Return a cluster's services, inactive ones too."""
        return [self._kinds[Service][key] for key in self._services_of_cluster.get(arn, ())]

    def revisions(self, scope: Scope, family: str) -> list[TaskDefinition]:
        """Return a family's revisions."""
        return [self._kinds[TaskDefinition][key] for key in self._revisions.get((scope, family), ())]

    def apply(self, changes: Changes) -> None:
        """Take over changes."""
        for record in changes.delete:
            self._kinds[type(record)].pop(record.key, None)
            for index, of in self._indexes(record):
                index[of].pop(record.key, None)
        for record in changes.put:
            self._kinds[type(record)][record.key] = record
            for index, of in self._indexes(record):
                index[of][record.key] = None

    def _indexes(self, record: "Record") -> Iterator[tuple[dict[Any, dict[str, None]], Any]]:
        match record:
            case Task():
                yield self._tasks_of_cluster, record.cluster_arn
                if record.service_arn:
                    yield self._tasks_of_service, record.service_arn
            case Service():
                yield self._services_of_cluster, record.cluster_arn
            case TaskDefinition():
                yield self._revisions, (Scope.of(record.arn), record.family)
            case _:
                pass
