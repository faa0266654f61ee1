"""Requests to AWS that no service is known for: what was seen, in words, and which of them have been seen before.

Such a request is answered, never forwarded: an emulator that does not know the service either would take it for S3's.
Pure, and bounded: what clients make up can't fill the memory.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from kecs.aws.call import Call
from kecs.aws.head import RequestHead

_KEPT: Final = 256
_TEXT_MAX: Final = 128
_PARTS_MAX: Final = 6
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z._-]{0,39}")
_VERSION: Final = re.compile(r"v[0-9]{1,3}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}")
_ANY: Final = "*"


def _text(value: bytes | None) -> str:
    """Bound and clean what a client has spelled."""
    text = (value or b"").decode("latin-1")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:_TEXT_MAX])


def _is_word(part: str) -> bool:
    """Tell whether a part of a path or a name says what is asked for, and not about which thing."""
    return any(form.fullmatch(part) for form in (_WORD, _VERSION, _REGION))


def _shape(text: str, separator: str) -> str:
    parts = text.split(separator)
    kept = [part if not part or _is_word(part) else _ANY for part in parts[:_PARTS_MAX]]
    return separator.join(kept + ([_ANY] if len(parts) > _PARTS_MAX else []))


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an unclassifiable request showed. Only what AWS spells, never a query string: those hold signatures."""

    host: str
    scope: str
    """What it is signed for; empty for unsigned requests."""
    target: str
    """X-Amz-Target."""
    method: str
    path: str

    @classmethod
    def of(cls, call: Call, head: RequestHead) -> Self:
        """Take from a request what there is to see."""
        return cls(
            host=_text(call.host.encode("latin-1", "replace")),
            scope=call.signing_name[:_TEXT_MAX],
            target=_text(head.get(b"x-amz-target")),
            method=_text(head.method),
            path=_text(head.target.partition(b"?")[0]),
        )

    @property
    def sentence(self) -> str:
        """Say it to who has asked."""
        signed = f"signed for {self.scope!r}" if self.scope else "not signed for any service"
        target = f", X-Amz-Target {self.target!r}" if self.target else ""
        return (
            f"no AWS service is known for this request: host {self.host!r}, {signed}{target}, {self.method} {self.path}"
        )

    @property
    def shape(self) -> "Sighting":
        """The same without names of single things: requests that differ in those alone are one kind."""
        return Sighting(
            host=_shape(self.host, "."),
            scope=self.scope,
            target=_shape(self.target, "."),
            method=self.method,
            path=_shape(self.path, "/"),
        )


class Sightings:
    """Which kinds of unclassifiable requests there have been."""

    __slots__ = ("_kept", "_seen")

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._kept = kept
        self._seen: set[Sighting] = set()

    def first(self, sighting: Sighting) -> bool:
        """Tell whether this is the first of its kind, and remember it; a kind beyond those that are kept never is."""
        shape = sighting.shape
        if shape in self._seen or len(self._seen) >= self._kept:
            return False
        self._seen.add(shape)
        return True
