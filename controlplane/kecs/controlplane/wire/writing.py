"""Outcomes to documents: what a client is told, by the model's shapes.

What is None is left out, times become what the protocol has for them. A member that the model lacks, a value of
another type or none of its enum's, is a mistake of ours: it is left out and told to `misfit`, which tests make raise.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from kecs.aws.cbor import Instant
from kecs.controlplane.wire.model import Kind, Shape, model

type Misfit = Callable[[str], None]
"""Told the place of each value that the model has no room for: `Task.colour`."""
type _Write = Callable[[Any, Misfit], Any]


class _Nothing:
    """Stands for a value that is left out."""


_NOTHING: Final = _Nothing()


def write(name: str, body: Mapping[str, Any], misfit: Misfit, *, cbor: bool = False) -> dict[str, Any]:
    """Return the document of a structure of the model."""
    made: dict[str, Any] = _writer(name, cbor=cbor)(body, misfit)
    return made


def seconds(moment: datetime) -> float:
    """Return a time as JSON 1.1 has it: seconds since 1970, with milliseconds as AWS gives them."""
    return round(moment.timestamp(), 3)


def _instant(moment: datetime) -> Instant:
    return Instant(seconds(moment))


@cache
def _writer(name: str, *, cbor: bool) -> _Write:
    shape = model().shapes[name]
    made: _Write = _as_it_is
    match shape.kind:
        case Kind.STRUCTURE:
            made = _structure(shape, cbor=cbor)
        case Kind.LIST:
            made = _list(shape, cbor=cbor)
        case Kind.MAP:
            made = _map(shape, cbor=cbor)
        case Kind.TIMESTAMP:
            made = _leaf(shape, datetime, _instant if cbor else seconds)
        case Kind.STRING:
            made = _enum(shape) if shape.enum else _leaf(shape, str, str)
        case Kind.BOOLEAN:
            made = _leaf(shape, bool, None)
        case Kind.DOUBLE:
            made = _double(shape)
        case Kind.INTEGER | Kind.LONG:
            made = _integer(shape)
        case Kind.DOCUMENT:
            pass
    return made


def _as_it_is(value: Any, _misfit: Misfit) -> Any:
    return value


def _leaf(shape: Shape, kind: type, made: Callable[[Any], Any] | None) -> _Write:
    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, kind):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        return value if made is None else made(value)

    return write


def _enum(shape: Shape) -> _Write:
    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, str) or value not in shape.enum:
            misfit(f"{shape.name}: {value!r}")
            return _NOTHING
        return str(value)

    return write


def _integer(shape: Shape) -> _Write:
    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        return value

    return write


def _double(shape: Shape) -> _Write:
    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, int | float) or isinstance(value, bool):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        if not math.isfinite(value):
            misfit(f"{shape.name}: {value}")
            return _NOTHING
        return float(value)

    return write


def _structure(shape: Shape, *, cbor: bool) -> _Write:
    members = {name: _writer(inside, cbor=cbor) for name, inside in shape.members.items()}

    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, Mapping):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        made = {}
        for name, item in value.items():
            if item is None:
                continue
            inside = members.get(name)
            if inside is None:
                misfit(f"{shape.name}.{name}")
                continue
            written = inside(item, misfit)
            if written is not _NOTHING:
                made[name] = written
        return made

    return write


def _list(shape: Shape, *, cbor: bool) -> _Write:
    inside = _writer(shape.item, cbor=cbor)

    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, list | tuple):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        made = [inside(item, misfit) for item in value]
        return [item for item in made if item is not _NOTHING] if _NOTHING in made else made

    return write


def _map(shape: Shape, *, cbor: bool) -> _Write:
    inside = _writer(shape.item, cbor=cbor)

    def write(value: Any, misfit: Misfit) -> Any:
        if not isinstance(value, Mapping):
            misfit(f"{shape.name}: {type(value).__name__}")
            return _NOTHING
        made = {str(key): inside(item, misfit) for key, item in value.items() if item is not None}
        return {key: item for key, item in made.items() if item is not _NOTHING}

    return write
