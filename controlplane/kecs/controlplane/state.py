"""All records in memory, and the ways they are looked up. Pure: a store keeps it, see `store`."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from kecs.controlplane.occupancy import Occupancy
from kecs.controlplane.records import (
    AccountSetting,
    Attribute,
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Service,
    ServiceDeployment,
    ServiceRevision,
    Task,
    TaskDefinition,
    TaskSet,
)

if TYPE_CHECKING:
    from kecs.controlplane.records import Record
    from kecs.controlplane.records.tasks import TaskStatus


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What takes changes back: the records as they were, in the places they had."""

    changes: Changes
    positions: Mapping[tuple[type["Record"], str], int]
    """Of those that were deleted."""


type Index = tuple[str, Callable[[Any], Hashable]]
"""A name, and what a record is found by under it."""


def family_of(definition_arn: str) -> str:
    """Return the family in a task definition's ARN."""
    return definition_arn.rpartition("/")[2].rpartition(":")[0]


def owner_of(arn: str) -> str:
    """Return an ARN up to its account: the text of its scope."""
    return ":".join(arn.split(":", 5)[:5])


def _owner(scope: Scope) -> str:
    return f"arn:{scope.partition}:ecs:{scope.region}:{scope.account}"


INDEXES: Mapping[type[Any], tuple[Index, ...]] = {
    Cluster: (("scope", lambda r: owner_of(r.arn)),),
    CapacityProvider: (("scope", lambda r: owner_of(r.arn)),),
    ContainerInstance: (("cluster", lambda r: r.cluster_arn), ("node", lambda r: r.node)),
    AccountSetting: (("principal", lambda r: (r.region, r.account, r.principal_arn)),),
    Attribute: (("cluster", lambda r: r.cluster_arn), ("target", lambda r: r.target)),
    TaskDefinition: (
        ("scope", lambda r: owner_of(r.arn)),
        ("family", lambda r: (owner_of(r.arn), r.family)),
        ("status", lambda r: (owner_of(r.arn), r.status)),
        ("stage", lambda r: r.status),
    ),
    Service: (
        ("cluster", lambda r: r.cluster_arn),
        ("status", lambda r: (r.cluster_arn, r.status)),
        ("launch", lambda r: (r.cluster_arn, r.status, r.launch_type)),
    ),
    ServiceDeployment: (("service", lambda r: r.service_arn),),
    ServiceRevision: (("service", lambda r: r.service_arn),),
    TaskSet: (("service", lambda r: r.service_arn),),
    Task: (
        ("cluster", lambda r: r.cluster_arn),
        ("desired", lambda r: (r.cluster_arn, r.desired_status)),
        ("last", lambda r: (r.cluster_arn, r.last_status)),
        ("launch", lambda r: (r.cluster_arn, r.last_status, r.launch_type)),
        ("status", lambda r: r.last_status),
        ("family", lambda r: (r.cluster_arn, family_of(r.definition_arn))),
        ("started_by", lambda r: (r.cluster_arn, r.started_by)),
        ("service", lambda r: r.service_arn),
        ("instance", lambda r: r.container_instance_arn),
        ("definition", lambda r: r.definition_arn),
    ),
}


class _Kind:
    """The records of one kind, by key, and by what they are looked up by, oldest first.

    A record's position is given to it when it is new and stays its own whatever it becomes; the places in an index are
    positions in order, so that a record that moves to another stands there
    as if it had always been there.
    """

    __slots__ = ("changed", "indexes", "keys", "positions", "records")

    def __init__(self, indexes: tuple[Index, ...]) -> None:
        self.changed: Callable[[Any, Any], None] = lambda _before, _after: None
        """Told of each record: what it was, None where it is new; what it is, None where it is no more."""
        self.records: dict[str, Any] = {}
        self.positions: dict[str, int] = {}
        self.keys: dict[int, str] = {}
        self.indexes = [(of, defaultdict[Hashable, list[int]](list)) for _, of in indexes]

    def put(self, record: "Record", position: int) -> None:
        key = record.key
        before = self.records.get(key)
        self.records[key] = record
        self.changed(before, record)
        if before is None:
            self.positions[key] = position
            self.keys[position] = key
            for of, places in self.indexes:
                _insert(places[of(record)], position)
            return
        position = self.positions[key]
        for of, places in self.indexes:
            was, now = of(before), of(record)
            if was != now:
                _remove(places, was, position)
                _insert(places[now], position)

    def delete(self, key: str) -> None:
        record = self.records.pop(key)
        self.changed(record, None)
        position = self.positions.pop(key)
        del self.keys[position]
        for of, places in self.indexes:
            _remove(places, of(record), position)

    def sort(self) -> None:
        """Bring records into the order of their positions."""
        self.records = {self.keys[position]: self.records[self.keys[position]] for position in sorted(self.keys)}


def _insert(places: list[int], position: int) -> None:
    if places and places[-1] > position:
        insort(places, position)
    else:
        places.append(position)


def _remove(places: dict[Hashable, list[int]], of: Hashable, position: int) -> None:
    found = places[of]
    del found[bisect_left(found, position)]
    if not found:
        del places[of]


class State:
    """Every record, by kind and key, with indexes for what is asked often. Oldest first, everywhere."""

    def __init__(self, records: Iterable["Record"] = ()) -> None:
        self._kinds: defaultdict[type[Any], _Kind] = _Kinds()
        self._last = 0
        self.occupancy = Occupancy()
        """What tasks take of container instances."""
        self._kinds[Task].changed = self.occupancy.change
        self.apply(Changes(put=tuple(records)))

    def get[R: "Record"](self, kind: type[R], key: str) -> R | None:
        """Return one record."""
        found: R | None = self._kinds[kind].records.get(key)
        return found

    def every[R: "Record"](self, kind: type[R]) -> Iterator[R]:
        """Yield all records of a kind."""
        yield from list(self._kinds[kind].records.values())

    def count(self, kind: type["Record"]) -> int:
        """Return how many there are of a kind."""
        return len(self._kinds[kind].records)

    def position(self, kind: type["Record"], key: str) -> int:
        """Return a record's place in the order in which records came."""
        return self._kinds[kind].positions[key]

    def find[R: "Record"](self, kind: type[R], index: str, of: Hashable) -> list[R]:
        """Return the records that an index of `INDEXES` has under a value."""
        found = self._kinds[kind]
        return [found.records[found.keys[position]] for position in self._places(kind, index, of)]

    def following[R: "Record"](self, kind: type[R], index: str, of: Hashable, after: int) -> Iterator[R]:
        """Yield the records that an index has under a value, those after a position."""
        places, found = self._places(kind, index, of), self._kinds[kind]
        for position in places[bisect_right(places, after) :]:
            yield found.records[found.keys[position]]

    def tally(self, kind: type["Record"], index: str, of: Hashable) -> int:
        """Return how many records an index of `INDEXES` has under a value."""
        return len(self._places(kind, index, of))

    def clusters(self, scope: Scope) -> list[Cluster]:
        """Return an account's clusters in a region, inactive ones too."""
        return self.find(Cluster, "scope", _owner(scope))

    def capacity_providers(self, scope: Scope) -> list[CapacityProvider]:
        """Return the capacity providers that clients made."""
        return self.find(CapacityProvider, "scope", _owner(scope))

    def settings_of(self, scope: Scope, principal_arn: str) -> list[AccountSetting]:
        """Return a principal's settings; an account's defaults where no principal is said."""
        return self.find(AccountSetting, "principal", (scope.region, scope.account, principal_arn))

    def instances_of_cluster(self, arn: str) -> list[ContainerInstance]:
        """Return a cluster's container instances, inactive ones too."""
        return self.find(ContainerInstance, "cluster", arn)

    def tasks_of_cluster(self, arn: str) -> list[Task]:
        """Return a cluster's tasks, the stopped ones too."""
        return self.find(Task, "cluster", arn)

    def tasks_of_service(self, arn: str) -> list[Task]:
        """Return the tasks that a service made, the stopped ones too."""
        return self.find(Task, "service", arn)

    def tasks_of_instance(self, arn: str) -> list[Task]:
        """Return the tasks of a container instance, the stopped ones too."""
        return self.find(Task, "instance", arn)

    def tasks(
        self,
        cluster_arn: str,
        *,
        desired_status: "TaskStatus | None" = None,
        family: str | None = None,
        started_by: str | None = None,
        service_arn: str | None = None,
        instance_arn: str | None = None,
        after: int = 0,
    ) -> Iterator[Task]:
        """Yield the tasks of a cluster, after a position, that have all that is said of them.

        As many are looked at as have the rarest of it.
        """
        wanted: dict[str, Hashable] = {"cluster": cluster_arn}
        if desired_status is not None:
            wanted["desired"] = (cluster_arn, desired_status)
        if family is not None:
            wanted["family"] = (cluster_arn, family)
        if started_by is not None:
            wanted["started_by"] = (cluster_arn, started_by)
        if service_arn is not None:
            wanted["service"] = service_arn
        if instance_arn is not None:
            wanted["instance"] = instance_arn
        places = [self._places(Task, index, of) for index, of in wanted.items()]
        kind, rarest = self._kinds[Task], min(places, key=len)
        tests = [(of, wanted[name]) for name, of in INDEXES[Task] if name in wanted]
        for position in rarest[bisect_right(rarest, after) :]:
            task = cast("Task", kind.records[kind.keys[position]])
            if all(of(task) == value for of, value in tests):
                yield task

    def count_tasks(self, cluster_arn: str, status: "TaskStatus") -> int:
        """Return how many tasks of a cluster have a last status."""
        return self.tally(Task, "last", (cluster_arn, status))

    def services_of_cluster(self, arn: str) -> list[Service]:
        """Return a cluster's services, inactive ones too."""
        return self.find(Service, "cluster", arn)

    def revisions(self, scope: Scope, family: str) -> list[TaskDefinition]:
        """Return a family's revisions."""
        return self.find(TaskDefinition, "family", (_owner(scope), family))

    def definitions(self, scope: Scope) -> list[TaskDefinition]:
        """Return an account's task definitions in a region."""
        return self.find(TaskDefinition, "scope", _owner(scope))

    def apply(self, changes: Changes) -> Undo:
        """Take over changes. Return what takes them back."""
        before: dict[tuple[type[Record], str], Record] = {}
        positions: dict[tuple[type[Record], str], int] = {}
        fresh: dict[tuple[type[Record], str], Record] = {}
        for record in changes.delete:
            kind = self._kinds[type(record)]
            if (found := kind.records.get(record.key)) is not None:
                name = (type(record), record.key)
                before.setdefault(name, found)
                positions.setdefault(name, kind.positions[record.key])
                kind.delete(record.key)
        for record in changes.put:
            kind = self._kinds[type(record)]
            name = (type(record), record.key)
            found = kind.records.get(record.key)
            if found is None or name in fresh:
                fresh[name] = record
            else:
                before.setdefault(name, found)
            self._last += 1
            kind.put(record, self._last)
        taken_back = Changes(put=tuple(before.values()), delete=tuple(fresh.values()))
        return Undo(changes=taken_back, positions=positions)

    def undo(self, undo: Undo) -> None:
        """Take changes back: the last ones first."""
        for record in undo.changes.delete:
            self._kinds[type(record)].delete(record.key)
        for record in undo.changes.put:
            name = (type(record), record.key)
            self._kinds[type(record)].put(record, undo.positions.get(name, 0))
        for of in {kind for kind, _ in undo.positions}:
            self._kinds[of].sort()

    def load(self, records: Iterable[tuple[int, "Record"]]) -> None:
        """Take over records with the positions they had, in their order."""
        for position, record in records:
            self._last = max(self._last, position)
            self._kinds[type(record)].put(record, position)

    def correct(self, delete: Iterable["Record"], put: Iterable[tuple[int, "Record"]]) -> None:
        """Make some records what they are elsewhere, positions included."""
        touched = {type(record) for record in delete}
        for record in delete:
            self._kinds[type(record)].delete(record.key)
        for position, record in put:
            touched.add(type(record))
            self.load([(position, record)])
        for of in touched:
            self._kinds[of].sort()

    def _places(self, kind: type["Record"], index: str, of: Hashable) -> list[int]:
        number = _NUMBERS[kind, index]
        return self._kinds[kind].indexes[number][1].get(of, [])


_NUMBERS = {(kind, name): number for kind, found in INDEXES.items() for number, (name, _) in enumerate(found)}


class _Kinds(defaultdict[type[Any], _Kind]):
    def __missing__(self, kind: type[Any]) -> _Kind:
        self[kind] = made = _Kind(INDEXES.get(kind, ()))
        return made
