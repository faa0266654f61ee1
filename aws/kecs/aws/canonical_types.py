"""What becomes of a request that is not merely passed on: values that the parts of `canonical` share."""

from dataclasses import dataclass
from enum import StrEnum

from kecs.aws.head import Fields, RequestHead


class Back(StrEnum):
    """What has to be done with the answer, for the client to get what it asked for."""

    RPC_CBOR = "rpc-cbor"
    """JSON to the RPC v2 CBOR that CloudWatch's clients speak."""
    JSON_CBOR = "json-cbor"
    """JSON to the CBOR that Kinesis' Java clients speak: the JSON protocol in another notation."""
    SESSION = "session"
    """S3's answer about a bucket to the credentials of a session with a directory bucket."""
    DIRECTORIES = "directories"
    """A list of buckets to the directory buckets in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A request of which more than the head changes."""

    head: RequestHead
    body: bytes | None = None
    """Not None: sent in the place of the request's body. The head says its length."""
    answered: Back | None = None
    """What the answer is to be put through, by `answers.answered`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that never reaches the backend, which would answer it wrongly or not at all."""

    what: str
    """What was asked for, as a noun."""
    profile: str
    status: int = 501
    code: str = "NotImplemented"
    because: str = ""

    @property
    def message(self) -> str:
        """What the client is told."""
        return self.because or f"the backend ({self.profile}) does not have {self.what}; another backend may"


def renamed(fields: Fields, name: bytes) -> Fields:
    """Replace the Host field where it stands, or put one first."""
    if any(key.lower() == b"host" for key, _ in fields):
        return tuple((key, name) if key.lower() == b"host" else (key, old) for key, old in fields)
    return ((b"Host", name), *fields)


def with_body(head: RequestHead, body: bytes, *, drop: tuple[bytes, ...] = (), add: Fields = ()) -> RequestHead:
    """Return the head of a request with this body instead of its own."""
    length = (b"Content-Length", b"%d" % len(body))
    framing = (b"content-length", b"transfer-encoding", b"trailer", b"content-encoding", b"content-md5")
    return head.with_fields(drop=(*framing, *drop), add=(*add, length))
