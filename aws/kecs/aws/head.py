"""HTTP heads as values: what classification reads and the relay writes. Never a socket, never a body."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

type Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, names in the sender's case, values without surrounding blanks."""


def _first(fields: Fields, name: bytes) -> bytes | None:
    for key, value in fields:
        if key.lower() == name:
            return value
    return None


def _without(fields: Fields, names: frozenset[bytes]) -> Fields:
    return tuple(field for field in fields if field[0].lower() not in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request line and its fields. `target` is the bytes of the request line, origin form."""

    method: bytes
    target: bytes
    fields: Fields

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field, whose name is given in lower case."""
        return _first(self.fields, name)

    def with_fields(self, drop: Iterable[bytes] = (), add: Fields = ()) -> Self:
        """Drop fields (names in lower case), then append others."""
        return replace(self, fields=_without(self.fields, frozenset(drop)) + add)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """A status line and its fields."""

    status: int
    reason: bytes
    fields: Fields

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field, whose name is given in lower case."""
        return _first(self.fields, name)

    def with_fields(self, drop: Iterable[bytes] = (), add: Fields = ()) -> Self:
        """Drop fields (names in lower case), then append others."""
        return replace(self, fields=_without(self.fields, frozenset(drop)) + add)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response made here. Content-Length and Connection are the relay's to add."""

    status: int
    fields: Fields = ()
    body: bytes = b""
