"""How the table of task definitions' fields is written: a field, what becomes of it, of which values. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

type Json = Mapping[str, Any]

CONTAINERS: Final = "containerDefinitions"


class Fate(StrEnum):
    """What becomes of a field."""

    POD = "in the pod"
    PLANE = "control plane"
    """The control plane does it: it is no business of the pod's."""
    WARNED = "warning"
    """Kept and described, without effect or with another; whoever registers it is told."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value that a definition gives to a field."""

    value: Any
    parent: Json
    """The structure that it is a member of."""
    container: str
    """Whose; empty for a field of the whole definition."""
    params: Json


type Holds = Callable[[Found], bool]


def said(found: Found) -> bool:
    """Tell whether a value says anything: not that something is off, nor an empty list."""
    value = found.value
    return value is not None and value is not False and value not in ("", [], {})


def among(*values: str) -> Holds:
    """Hold of some values, or of lists with one of them."""
    return lambda found: found.value in values


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What becomes of one field, or of some values of it."""

    path: str
    fate: Fate
    how: str
    """Where in the pod, or who does what; of what is warned of or refused: why."""
    when: str = ""
    """Of which values that is true, for readers; empty: of all."""
    about: str = ""
    """What sentences speak of, where several fields are one matter; empty: the field."""
    verb: str = ""
    """What a sentence says of it; empty: that it has no effect, or is not supported."""
    holds: Holds = said

    @property
    def is_of_container(self) -> bool:
        """Tell whether it is a field of container definitions."""
        return self.path.startswith(f"{CONTAINERS}.")

    def found(self, params: Json) -> Iterator[Found]:
        """Yield the values that a definition gives to it, of which what is said here is true."""
        first, *rest = self.path.split(".")
        for parent, value in _values(params, first):
            if first == CONTAINERS:
                for container in value or ():
                    yield from self._held(container, rest, container.get("name", ""), params)
            elif not rest:
                yield from self._true(Found(value=value, parent=parent, container="", params=params))
            else:
                for inside in value if isinstance(value, list) else [value]:
                    yield from self._held(inside, rest, "", params)

    def _held(self, structure: Json, path: list[str], container: str, params: Json) -> Iterator[Found]:
        first, *rest = path
        for parent, value in _values(structure, first):
            if not rest:
                yield from self._true(Found(value=value, parent=parent, container=container, params=params))
                continue
            for inside in value if isinstance(value, list) else [value]:
                yield from self._held(inside, rest, container, params)

    def _true(self, found: Found) -> Iterator[Found]:
        if said(found) and self.holds(found):
            yield found

    def sentence(self, found: Found) -> str:
        """Return what whoever registers a definition is told."""
        whose = f" of container '{found.container}'" if found.container else ""
        verb = self.verb or ("is not supported" if self.fate is Fate.REFUSED else "has no effect")
        return f"{self.about or self.path}{whose} {verb}: {self.how}."


def _values(structure: Json, member: str) -> Iterator[tuple[Json, Any]]:
    if member in structure:
        yield structure, structure[member]
