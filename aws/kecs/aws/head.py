"""HTTP heads as values: what classification reads and the relay writes. Never a socket, never a body.

A client sends the same names in the same order again and again. What follows from the names alone is worked out once
per sequence of names (a `Shape`); with ten fields a head's lookups then cost a fifth of what comparing names costs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

type Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, names in the sender's case, values without surrounding blanks."""

_SHAPES_MAX: Final = 512
_SHAPE_BYTES_MAX: Final = 2048
"""Of names in a shape that is kept: clients choose them."""


class Shape:
    """What a head's names say. `index` holds the first place of each name, `names` all of them, in lower case."""

    __slots__ = ("_kept", "_only", "index", "names")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = tuple(name.lower() for name in names)
        self.index: dict[bytes, int] = {name: place for place, name in reversed(tuple(enumerate(self.names)))}
        self._only: dict[frozenset[bytes], tuple[int, ...]] = {}
        self._kept: dict[frozenset[bytes], tuple[int, ...] | None] = {}

    def only(self, names: frozenset[bytes]) -> tuple[int, ...]:
        """Return the places of the fields of these names, in order. Give it constants."""
        try:
            return self._only[names]
        except KeyError:
            self._only[names] = found = tuple(place for place, name in enumerate(self.names) if name in names)
            return found

    def without(self, names: frozenset[bytes]) -> tuple[int, ...] | None:
        """Return the places of the fields whose names are others; None when that is all. Give it constants."""
        try:
            return self._kept[names]
        except KeyError:
            kept: tuple[int, ...] | None = None
            if not names.isdisjoint(self.index):
                kept = tuple(place for place, name in enumerate(self.names) if name not in names)
            self._kept[names] = kept
            return kept


_shapes: dict[tuple[bytes, ...], Shape] = {}


def shape_of(fields: Fields) -> Shape:
    """Return the shape of these fields, the same object for the same names."""
    names = tuple([name for name, _ in fields])
    shape = _shapes.get(names)
    if shape is None:
        shape = Shape(names)
        if sum(map(len, names)) <= _SHAPE_BYTES_MAX:
            if len(_shapes) >= _SHAPES_MAX:
                _shapes.clear()
            _shapes[names] = shape
    return shape


@dataclass(slots=True, kw_only=True)
class _Head:
    """Fields and what is known of them. Not frozen, since freezing triples the cost of making one; never changed."""

    fields: Fields
    block: bytes | None = field(default=None, compare=False, repr=False)
    """The fields as they were received, each with its line's end, where they are known in that form."""
    known: Shape | None = field(default=None, compare=False, repr=False)
    """The shape, where somebody has worked it out."""

    @property
    def shape(self) -> Shape:
        """What the names say."""
        shape = self.known
        if shape is None:
            shape = self.known = shape_of(self.fields)
        return shape

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field, whose name is given in lower case."""
        place = (self.known or self.shape).index.get(name)
        return None if place is None else self.fields[place][1]

    def _changed(self, drop: Iterable[bytes], add: Fields) -> Fields:
        names = frozenset(drop)
        if names.isdisjoint(self.shape.index):
            return self.fields + add
        return tuple([one for one, name in zip(self.fields, self.shape.names, strict=True) if name not in names]) + add


@dataclass(slots=True, kw_only=True)
class RequestHead(_Head):
    """A request line and its fields. `target` is the bytes of the request line, origin form."""

    method: bytes
    target: bytes

    def with_fields(self, drop: Iterable[bytes] = (), add: Fields = ()) -> Self:
        """Drop fields (names in lower case), then append others."""
        return type(self)(method=self.method, target=self.target, fields=self._changed(drop, add))


@dataclass(slots=True, kw_only=True)
class ResponseHead(_Head):
    """A status line and its fields."""

    status: int
    reason: bytes

    def with_fields(self, drop: Iterable[bytes] = (), add: Fields = ()) -> Self:
        """Drop fields (names in lower case), then append others."""
        return type(self)(status=self.status, reason=self.reason, fields=self._changed(drop, add))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response made here. Content-Length and Connection are the relay's to add."""

    status: int
    fields: Fields = ()
    body: bytes = b""
