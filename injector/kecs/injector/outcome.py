"""What a review comes to: a patch, nothing, or a refusal. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NotRequired, TypedDict

from kecs.core.settings import ProxyMode
from kecs.injector.reason import Reason

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Operation(TypedDict):
    """One step of a JSON patch (RFC 6902)."""

    op: Literal["add", "replace", "remove", "test"]
    path: str
    value: NotRequired[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """The pod is to be changed."""

    operations: tuple[Operation, ...]
    """Never empty, in the order in which they apply."""
    mode: ProxyMode
    """`sidecar` or `environment`: what was injected."""
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...] = ()
    """One line each."""
    status: Mapping[str, Any] = field(default=_NOTHING)
    """What the status annotation says, as data; empty for an ephemeral container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """The pod stays as it is."""

    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The pod must not start like this: it would reach AWS, or can't start at all."""

    reasons: tuple[Reason, ...]
    sentences: tuple[str, ...]
    """What is wrong, each with its path, its value and what is allowed."""
    warnings: tuple[str, ...] = ()


type Outcome = Patched | Untouched | Refused
