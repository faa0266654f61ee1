"""What is remembered of one exchange between deciding on it and recording it."""

import os
from binascii import b2a_base64
from dataclasses import dataclass
from typing import Final

from kecs.aws.call import Call
from kecs.aws.canonical_types import Back
from kecs.aws.local_names import Base
from kecs.calls.routes import Route

_AT_ONCE: Final = 64


@dataclass(slots=True, kw_only=True)
class CallContext:
    """One AWS call under way."""

    call: Call
    route: Route | None
    """None: never to be forwarded."""
    request_id: str = ""
    """The backend's own; one of ours once it is known that it gives none."""
    from_browser: bool = False
    """The request had an Origin: CORS fields of the answer are wanted."""
    answered: Back | None = None
    """What the answer has to be put through, since the request was changed."""
    base: Base | None = None
    """How the client reached us, where that was not by AWS's name: addresses in the answer are to lead there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnContext:
    """A request that is no call: to a metadata endpoint, or to a gateway's or a backend's own paths."""

    address: str
    event: str = "metadata"
    """What its record says that it is."""


class RequestIds:
    """Request ids with what S3 calls their extension, made many at a time: one by one they cost five times as much.

    An extension is random here. Only for an id that an upstream gave it is made of the id.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: list[tuple[bytes, bytes]] = []

    def pair(self) -> tuple[bytes, bytes]:
        """Return a new id and its extension."""
        if not self._made:
            text = os.urandom(16 * _AT_ONCE).hex()
            more = b2a_base64(os.urandom(57 * _AT_ONCE), newline=False)
            self._made = [
                (_identity(text[32 * place : 32 * place + 32]).encode(), more[76 * place : 76 * place + 75] + b"=")
                for place in range(_AT_ONCE)
            ]
        return self._made.pop()


def new_request_id() -> str:
    """Return an id in the form of AWS's: a UUID of version 4."""
    return _identity(os.urandom(16).hex())


def _identity(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""RFC 9562 section 4.1: the two highest bits are 10."""
