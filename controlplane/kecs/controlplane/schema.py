"""How records are spelled on disk: tables, their columns, and the steps from each version to the next. Pure.

Every kind of record has a table: its key, its position in the order in which records came, columns for people who query
the file, and the record itself as JSON. Only position and document are read back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kecs.controlplane.records import KINDS
from kecs.controlplane.records.clusters import AccountSetting, Attribute, CapacityProvider, Cluster, ContainerInstance
from kecs.controlplane.records.definitions import Family, TaskDefinition
from kecs.controlplane.records.services import Service, ServiceDeployment, ServiceRevision, TaskSet
from kecs.controlplane.records.tasks import Task
from kecs.controlplane.records.tokens import Token
from kecs.controlplane.state import family_of

if TYPE_CHECKING:
    from kecs.controlplane.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where the records of a kind are kept."""

    kind: type[Any]
    name: str
    columns: Mapping[str, Callable[[Any], str]]
    """Besides key, position and document; all of them text."""

    @property
    def every_column(self) -> tuple[str, ...]:
        """Return the names of all columns, in order."""
        return ("key", "position", *self.columns, "document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record, spelled."""

    kind: type[Any]
    key: str
    columns: tuple[str, ...]
    document: str


def _region(arn: str) -> str:
    return arn.split(":", 5)[3]


def _account(arn: str) -> str:
    return arn.split(":", 5)[4]


def _moment(when: datetime | None) -> str:
    return "" if when is None else when.isoformat(timespec="milliseconds")


_OF_ARN: Mapping[str, Callable[[Any], str]] = {
    "region": lambda r: _region(r.arn),
    "account": lambda r: _account(r.arn),
}

TABLES: Mapping[type[Any], Table] = {
    table.kind: table
    for table in (
        Table(
            kind=Cluster, name="clusters", columns={**_OF_ARN, "name": lambda r: r.name, "status": lambda r: r.status}
        ),
        Table(
            kind=ContainerInstance,
            name="container_instances",
            columns={
                **_OF_ARN,
                "cluster": lambda r: r.cluster_arn,
                "node": lambda r: r.node,
                "status": lambda r: r.status,
            },
        ),
        Table(
            kind=CapacityProvider,
            name="capacity_providers",
            columns={**_OF_ARN, "name": lambda r: r.name, "status": lambda r: r.status},
        ),
        Table(
            kind=AccountSetting,
            name="account_settings",
            columns={
                "region": lambda r: r.region,
                "account": lambda r: r.account,
                "principal": lambda r: r.principal_arn,
                "name": lambda r: r.name,
                "value": lambda r: r.value,
            },
        ),
        Table(
            kind=Attribute,
            name="attributes",
            columns={
                "region": lambda r: _region(r.cluster_arn),
                "account": lambda r: _account(r.cluster_arn),
                "cluster": lambda r: r.cluster_arn,
                "target": lambda r: r.target,
                "name": lambda r: r.name,
                "value": lambda r: r.value,
            },
        ),
        Table(
            kind=TaskDefinition,
            name="task_definitions",
            columns={
                **_OF_ARN,
                "family": lambda r: r.family,
                "revision": lambda r: str(r.revision),
                "status": lambda r: r.status,
            },
        ),
        Table(kind=Family, name="task_definition_families", columns=_OF_ARN),
        Table(
            kind=Service,
            name="services",
            columns={
                **_OF_ARN,
                "cluster": lambda r: r.cluster_arn,
                "name": lambda r: r.name,
                "status": lambda r: r.status,
            },
        ),
        Table(
            kind=ServiceDeployment,
            name="service_deployments",
            columns={**_OF_ARN, "service": lambda r: r.service_arn, "status": lambda r: r.status},
        ),
        Table(
            kind=ServiceRevision,
            name="service_revisions",
            columns={**_OF_ARN, "service": lambda r: r.service_arn},
        ),
        Table(
            kind=TaskSet,
            name="task_sets",
            columns={**_OF_ARN, "service": lambda r: r.service_arn, "status": lambda r: r.status},
        ),
        Table(
            kind=Task,
            name="tasks",
            columns={
                **_OF_ARN,
                "cluster": lambda r: r.cluster_arn,
                "family": lambda r: family_of(r.definition_arn),
                "service": lambda r: r.service_arn,
                "started_by": lambda r: r.started_by,
                "desired_status": lambda r: r.desired_status,
                "last_status": lambda r: r.last_status,
                "created_at": lambda r: _moment(r.created_at),
                "stopped_at": lambda r: _moment(r.stopped_at),
            },
        ),
        Table(
            kind=Token,
            name="tokens",
            columns={
                "region": lambda r: r.region,
                "account": lambda r: r.account,
                "operation": lambda r: r.operation,
                "expires_at": lambda r: _moment(r.expires_at),
            },
        ),
    )
}


_FIRST = """
CREATE TABLE clusters (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, name VARCHAR, status
    VARCHAR, document JSON NOT NULL
);
CREATE TABLE container_instances (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, cluster VARCHAR, node
    VARCHAR, status VARCHAR, document JSON NOT NULL
);
CREATE TABLE capacity_providers (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, name VARCHAR, status
    VARCHAR, document JSON NOT NULL
);
CREATE TABLE account_settings (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, principal VARCHAR, name
    VARCHAR, value VARCHAR, document JSON NOT NULL
);
CREATE TABLE attributes (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, cluster VARCHAR, target
    VARCHAR, name VARCHAR, value VARCHAR, document JSON NOT NULL
);
CREATE TABLE task_definitions (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, family VARCHAR, revision
    VARCHAR, status VARCHAR, document JSON NOT NULL
);
CREATE TABLE task_definition_families (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, document JSON NOT NULL
);
CREATE TABLE services (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, cluster VARCHAR, name
    VARCHAR, status VARCHAR, document JSON NOT NULL
);
CREATE TABLE service_deployments (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, service VARCHAR, status
    VARCHAR, document JSON NOT NULL
);
CREATE TABLE service_revisions (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, service VARCHAR, document
    JSON NOT NULL
);
CREATE TABLE task_sets (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, service VARCHAR, status
    VARCHAR, document JSON NOT NULL
);
CREATE TABLE tasks (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, cluster VARCHAR, family
    VARCHAR, service VARCHAR, started_by VARCHAR, desired_status VARCHAR, last_status VARCHAR, created_at VARCHAR,
    stopped_at VARCHAR, document JSON NOT NULL
);
CREATE TABLE tokens (
    key VARCHAR PRIMARY KEY, position BIGINT NOT NULL, region VARCHAR, account VARCHAR, operation VARCHAR,
    expires_at VARCHAR, document JSON NOT NULL
);
"""

STEPS: Mapping[int, tuple[str, ...]] = {1: tuple(filter(None, map(str.strip, _FIRST.split(";"))))}
"""By the version they lead to, the statements that lead there from the one before.

A step that has been released is never changed. A field that a record gains needs none, as long as it has a default;
one that it loses, or that gets another name or meaning, needs one that says what becomes of documents.
"""

_ADAPTERS: Mapping[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in KINDS}


def spelled(record: "Record") -> Row:
    """Spell a record. Raise ValueError where JSON can't."""
    table = TABLES[type(record)]
    document = _ADAPTERS[table.kind].dump_json(record).decode()
    columns = tuple(str(read(record)) for read in table.columns.values())
    return Row(kind=table.kind, key=record.key, columns=columns, document=document)


def read(kind: type[Any], document: str) -> "Record":
    """Read a record. Raise ValueError where it is none."""
    found: Record = _ADAPTERS[kind].validate_json(document)
    return found
