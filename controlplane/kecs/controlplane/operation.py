"""What an operation is: a function from a request and the state to an answer and changes. Pure.

An operation never waits, reads no clock and draws no random number: `Request` carries the time and what makes ids. What
it must know from elsewhere it asks by returning `Ask`; it is then called again with the answer in `Request.answers`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kecs.controlplane.records import Record
from kecs.controlplane.state import Changes, Scope, State


class Ids(Protocol):
    """What makes new names."""

    def hex32(self) -> str:
        """Return 32 hexadecimal digits: a task's id."""
        ...

    def uuid(self) -> str:
        """Return a UUID with hyphens: a container's, an attachment's, an event's."""
        ...

    def digits19(self) -> str:
        """Return 19 decimal digits: a deployment's, a revision's."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only another service knows."""

    kind: str
    """The function that answers, e.g. `target_group`."""
    subject: str
    """What about, e.g. its ARN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, parsed and valid by the shapes of the model."""

    operation: str
    params: Mapping[str, Any]
    """By AWS's names; timestamps are datetimes, blobs bytes; what was not sent is absent."""
    scope: Scope
    principal_arn: str
    now: datetime
    """Aware, UTC."""
    ids: Ids
    answers: Mapping[Question, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the client is told, and what is to be kept before it is."""

    body: Mapping[str, Any]
    """By AWS's names. None means absent, datetimes become epoch seconds; members the model lacks are a mistake."""
    changes: Changes = field(default_factory=Changes)
    warnings: tuple[str, ...] = ()
    """Sentences about what was accepted and has no effect here: a header of the answer each, and the log."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What must be known first."""

    questions: tuple[Question, ...]


type Operation = Callable[[Request, State], Outcome | Ask]
"""Raises ApiError for what is refused."""


def changed(*put: Record) -> Changes:
    """Return the changes that keep these records."""
    return Changes(put=put)
