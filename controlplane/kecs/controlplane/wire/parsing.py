"""Documents to parameters: types by the model's shapes, what is unknown left out, what is missing or impossible told.

A document is what JSON or CBOR gave. Types come first, as on AWS: a body with a value of another type is a
SerializationException, whatever else is wrong with it. Then members that are missing, then the model's constraints.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from kecs.aws.cbor import Instant
from kecs.controlplane.wire import faults
from kecs.controlplane.wire.model import Entry, Kind, Shape, model

if TYPE_CHECKING:
    from kecs.controlplane.errors import ApiError

type _Read = Callable[[Any], Any]
type _Check = Callable[[Any, str, "_Findings"], None]

_INTEGERS: Final = {Kind.INTEGER: 1 << 31, Kind.LONG: 1 << 63}
_LETTERS: Final = frozenset("LZN")
_TAG_SIGNS: Final = frozenset("_.:/=+-@")
_TAG_PATTERN: Final = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
_DEPTH_MAX: Final = 64


class _Findings:
    """What is wrong with one request."""

    __slots__ = ("lines", "missing", "operation")

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.missing: ApiError | None = None
        self.lines: list[str] = []


def parse(operation: str, document: Any) -> dict[str, Any]:
    """Return an operation's parameters. Raise ApiError for what is none of its requests."""
    entry = model().operations[operation]
    params: dict[str, Any] = _reader(entry.input)({} if document is None else document)
    findings = _Findings(operation)
    _checker(entry)(params, "", findings)
    if findings.missing is not None:
        raise findings.missing
    if findings.lines:
        raise faults.invalid_values(operation, findings.lines)
    return params


# Types


def _text(value: Any) -> str:
    if type(value) is not str:
        raise faults.mistyped(value, Kind.STRING)
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise faults.unreadable("Half of a surrogate pair is no character")
    return value


def _integer(kind: Kind) -> _Read:
    bound = _INTEGERS[kind]

    def read(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not -bound <= value < bound:
            raise faults.mistyped(value, kind)
        return value

    return read


def _double(value: Any) -> float:
    if type(value) not in {int, float}:
        raise faults.mistyped(value, Kind.DOUBLE)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise faults.mistyped(value, Kind.DOUBLE)
    return number


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise faults.mistyped(value, Kind.BOOLEAN)
    return value


def _timestamp(value: Any) -> datetime:
    number = value.number if isinstance(value, Instant) else value
    if type(number) not in {int, float}:
        raise faults.mistyped(value, Kind.TIMESTAMP)
    try:
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise faults.mistyped(number, Kind.TIMESTAMP) from error


def _document(value: Any, depth: int = 0) -> Any:
    if depth > _DEPTH_MAX:
        raise faults.unreadable(f"More than {_DEPTH_MAX} values inside each other")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_document(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_text(key): _document(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Instant | bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise faults.unreadable("Unexpected field type")
    return value


_SIMPLE: Final[dict[Kind, _Read]] = {
    Kind.STRING: _text,
    Kind.INTEGER: _integer(Kind.INTEGER),
    Kind.LONG: _integer(Kind.LONG),
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _timestamp,
    Kind.DOCUMENT: _document,
}


@cache
def _reader(name: str) -> _Read:
    shape = model().shapes[name]
    simple = _SIMPLE.get(shape.kind)
    if simple is not None:
        return simple
    if shape.kind is Kind.STRUCTURE:
        return _structure(shape)
    return _list(shape) if shape.kind is Kind.LIST else _map(shape)


def _structure(shape: Shape) -> _Read:
    members = {name: _reader(inside) for name, inside in shape.members.items()}

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise faults.mistyped(value, Kind.STRUCTURE)
        made = {}
        for name, item in value.items():
            inside = members.get(name)
            if inside is not None and item is not None:
                made[name] = inside(item)
        return made

    return read


def _list(shape: Shape) -> _Read:
    inside = _reader(shape.item)

    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise faults.mistyped(value, Kind.LIST)
        return [inside(item) for item in value]

    return read


def _map(shape: Shape) -> _Read:
    inside = _reader(shape.item)

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise faults.mistyped(value, Kind.MAP)
        return {_text(key): inside(item) for key, item in value.items() if item is not None}

    return read


# Constraints


@cache
def _checker(entry: Entry) -> _Check:
    found = _check(entry.input, outermost=True)
    return found if found is not None else lambda _value, _path, _findings: None


@cache
def _check(name: str, *, outermost: bool = False) -> _Check | None:
    """Return what checks a shape, and None where nothing in it can be wrong."""
    shape = model().shapes[name]
    if shape.kind is Kind.STRUCTURE:
        return _members(shape, outermost=outermost)
    if shape.kind in {Kind.LIST, Kind.MAP}:
        return _items(shape)
    return _values(shape)


def _members(shape: Shape, *, outermost: bool) -> _Check | None:
    every = {name: _check(inside) for name, inside in shape.members.items()}
    checks = {name: inner for name, inner in every.items() if inner is not None}
    if not checks and not shape.required:
        return None

    def check(value: Any, path: str, findings: _Findings) -> None:
        for name in shape.required:
            if name not in value and findings.missing is None:
                inside = model().shapes[shape.members[name]]
                findings.missing = faults.missing(findings.operation, shape, name, inside, outermost=outermost)
        for name, inner in checks.items():
            if name in value:
                inner(value[name], f"{path}.{name}" if path else name, findings)

    return check


def _items(shape: Shape) -> _Check | None:
    inside, sizes = _check(shape.item), _sizes(shape)
    if inside is None and sizes is None:
        return None

    def check(value: Any, path: str, findings: _Findings) -> None:
        if sizes is not None:
            sizes(value, path, findings)
        if inside is not None:
            pairs = value.items() if shape.kind is Kind.MAP else enumerate(value, 1)
            for place, item in pairs:
                inside(item, f"{path}.{place}.member", findings)

    return check


def _sizes(shape: Shape) -> _Check | None:
    least, most = shape.least, shape.most
    if least is None and most is None:
        return None
    length = shape.kind in {Kind.STRING, Kind.LIST, Kind.MAP}
    what = "length" if length else "value"

    def check(value: Any, path: str, findings: _Findings) -> None:
        size = len(value) if length else value
        if least is not None and size < least:
            findings.lines.append(faults.constraint(value, path, f"have {what} greater than or equal to {least:g}"))
        if most is not None and size > most:
            findings.lines.append(faults.constraint(value, path, f"have {what} less than or equal to {most:.0f}"))

    return check


def _values(shape: Shape) -> _Check | None:
    checks = [check for check in (_sizes(shape), _enum(shape), _pattern(shape)) if check is not None]
    if not checks:
        return None

    def check(value: Any, path: str, findings: _Findings) -> None:
        for one in checks:
            one(value, path, findings)

    return check


def _enum(shape: Shape) -> _Check | None:
    if not shape.enum:
        return None
    rule = f"satisfy enum value set: [{', '.join(shape.choices)}]"

    def check(value: Any, path: str, findings: _Findings) -> None:
        if value not in shape.enum:
            findings.lines.append(faults.constraint(value, path, rule))

    return check


def _tag(text: str) -> bool:
    # Python's expressions have no \p{..}.
    return all(c in _TAG_SIGNS or unicodedata.category(c)[0] in _LETTERS for c in text)


def _pattern(shape: Shape) -> _Check | None:
    if not shape.pattern:
        return None
    holds: Callable[[str], object] = _tag if shape.pattern == _TAG_PATTERN else re.compile(shape.pattern).fullmatch

    def check(value: Any, path: str, findings: _Findings) -> None:
        if not holds(value):
            rule = f"satisfy regular expression pattern: {shape.pattern}"
            findings.lines.append(faults.constraint(value, path, rule))

    return check
