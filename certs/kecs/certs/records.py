"""The two records of an authority, as fields and back; and what a store of them has to do.

Fields are named as cert-manager names them, so that its Secrets can be read as they are. What was edited by hand and
no longer fits together is refused, with what to do; nothing is guessed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from kecs.core.errors import KecsError


class Record(StrEnum):
    """What is kept. Each record is written as a whole or not at all."""

    ROOT = "root"
    """The roots with their keys (`Roots`)."""
    ISSUER = "issuer"
    """What signs and is trusted now (`Authority`): the truth about the phase."""


class Conflict(KecsError):  # noqa: N818 - the contract of compare-and-swap calls it so
    """Somebody else wrote the record since it was read: read again, decide again."""


class Store(Protocol):
    """Where the records are kept."""

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        """Return a record's fields and version; None when there is none."""
        ...

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        """Write a record that still has this version (None: that is not there); return its new version.

        Raises Conflict when it has changed, MachineError when it can't be written.
        """
        ...
