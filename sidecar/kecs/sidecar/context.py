"""What the sidecar remembers of one exchange between deciding on it and recording it."""

import os
from dataclasses import dataclass

from kecs.aws.call import Call
from kecs.aws.canonical_types import Back
from kecs.sidecar.routes import Route


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataContext:
    """A request to a metadata endpoint."""

    address: str


def new_request_id() -> str:
    """Return an id in the form of AWS's: a UUID of version 4."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
