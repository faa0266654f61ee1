"""The model of ECS: its operations and shapes, read from package data when first asked for.

The data is botocore's, made smaller by `scripts/generate_ecs_model.py`; nothing at run time needs botocore for it.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

TARGET: Final = "AmazonEC2ContainerServiceV20141113"
"""What X-Amz-Target begins with, and the service's name in paths of the CBOR protocol."""


class Kind(StrEnum):
    """What a shape is, as the model says it."""

    STRUCTURE = "structure"
    LIST = "list"
    MAP = "map"
    STRING = "string"
    INTEGER = "integer"
    LONG = "long"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DOCUMENT = "document"
    """Whatever JSON can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape. Others are named, since shapes may hold themselves."""

    name: str
    kind: Kind
    members: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    item: str = ""
    """What a list holds, or a map for its keys."""
    enum: frozenset[str] = frozenset()
    choices: tuple[str, ...] = ()
    """The same, in the model's order."""
    least: float | None = None
    most: float | None = None
    """Of a number, or of a string's or list's length."""
    pattern: str = ""
    union: bool = False
    fault: bool = False
    """An exception that is the service's fault: HTTP 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One operation of the model."""

    name: str
    input: str
    output: str
    errors: frozenset[str]
    """Exceptions that its clients know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The whole model."""

    operations: dict[str, Entry]
    shapes: dict[str, Shape]
    tokens: dict[str, str]
    """Operations whose clients make an idempotency token by themselves, and the member it is in."""


_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "PlacementConstraint": ("type",),
    "PlacementStrategy": ("type",),
    "Resource": ("name",),
}
"""Members without which nothing can be made of a structure, though the model takes it so."""


def _shape(name: str, row: dict[str, Any]) -> Shape:
    return Shape(
        name=name,
        kind=Kind.DOCUMENT if row.get("document") else Kind(row["type"]),
        members={member: entry["shape"] for member, entry in row.get("members", {}).items()},
        required=(*row.get("required", ()), *_NEEDED.get(name, ())),
        item=row.get("member", row.get("value", "")),
        enum=frozenset(row.get("enum", ())),
        choices=tuple(row.get("enum", ())),
        least=row.get("min"),
        most=row.get("max"),
        pattern=row.get("pattern", ""),
        union=row.get("union", False),
        fault=row.get("fault", False),
    )


@cache
def model() -> Model:
    """Return the model."""
    table = json.loads((files("kecs.controlplane") / "data" / "ecs.json").read_bytes())
    rows: dict[str, dict[str, Any]] = table["shapes"]
    operations = {
        name: Entry(name=name, input=row["input"], output=row["output"], errors=frozenset(row["errors"]))
        for name, row in table["operations"].items()
    }
    return Model(
        operations=operations,
        shapes={name: _shape(name, row) for name, row in rows.items()},
        tokens={
            entry.name: member
            for entry in operations.values()
            for member, said in rows[entry.input]["members"].items()
            if said.get("idempotencyToken")
        },
    )
