"""Response heads as AWS would send them: what betrays a backend goes, what AWS always sends is added. Never a body."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from kecs.aws.call import Call
from kecs.aws.errors import extended_request_id
from kecs.aws.head import ResponseHead
from kecs.aws.hosts import DATA_PLANES, is_aws_name, parse_host
from kecs.aws.partitions import partition_of
from kecs.aws.profiles import LOOPBACK, Profile

_BETRAYING: Final = frozenset({b"server", b"x-powered-by", b"x-amz-sdk-checksum-algorithm"})
"""The last is a request's: moto says it again."""
_WORDS: Final = (b"x-localstack", b"x-moto", b"x-ministack")
"""How names begin that only emulators have."""
_S3_IDS: Final = frozenset({b"x-amz-request-id", b"x-amz-id-2"})
_API_IDS: Final = frozenset({b"x-amzn-requestid"})
_NONE: Final[frozenset[bytes]] = frozenset()
_CORS: Final = b"access-control-"
_URL_SCHEMES: Final = ("http", "https")
_CUSTOMERS: Final = frozenset(DATA_PLANES.values())
_S3: Final = frozenset({"s3", "s3control"})
_S3_SERVER: Final = (b"server", b"Server", b"AmazonS3")
_PLANS: Final = 512
_INFORMATIONAL: Final = range(100, 200)
_REDIRECTS: Final = 300


def rewrite_head(
    call: Call,
    head: ResponseHead,
    profile: Profile,
    request_id: str,
    *,
    origin: bool = True,
    date: bytes = b"",
) -> ResponseHead:
    """Return the head that the client gets.

    `origin` tells whether the request had an Origin: AWS sends CORS fields to browsers only. `date` is put where the
    backend sent none.
    """
    if head.status in _INFORMATIONAL:
        return head
    shape = head.shape
    foreign = _NONE if call.service in _CUSTOMERS else _API_IDS if call.service in _S3 else _S3_IDS
    kept, mended = _plan(shape.names, origin, foreign)
    if mended:
        fields = tuple(_mended(call, head, profile, foreign, origin=origin))
    else:
        fields = head.fields if kept is None else tuple([head.fields[place] for place in kept])
    index = shape.index
    wanted = _wanted(call, request_id, date)
    added = tuple([(key, value) for name, key, value in wanted if name not in index or name in _BETRAYING])
    return ResponseHead(status=head.status, reason=head.reason, fields=fields + added)


def reads_values(head: ResponseHead, *, origin: bool) -> bool:
    """Say whether what becomes of this head depends on more than its names, its status and the call."""
    return head.status in _INFORMATIONAL or _plan(head.shape.names, origin, _NONE)[1]


@lru_cache(maxsize=_PLANS)
def _plan(
    names: tuple[bytes, ...],
    origin: bool,  # noqa: FBT001 - a cache's key
    foreign: frozenset[bytes],
) -> tuple[tuple[int, ...] | None, bool]:
    """Return the places of the fields that stay, None for all of them, and whether values have to be looked at."""
    kept = tuple(
        place for place, name in enumerate(names) if not _goes(name, foreign) and (origin or not name.startswith(_CORS))
    )
    mended = any(name == b"location" or (origin and name.startswith(_CORS)) for name in names)
    return (None if len(kept) == len(names) else kept), mended


def _goes(name: bytes, foreign: frozenset[bytes]) -> bool:
    """Tell whether a field is none that AWS would send; `foreign` are those of other services."""
    return name in _BETRAYING or name in foreign or name.startswith(_WORDS)


def _mended(
    call: Call, head: ResponseHead, profile: Profile, foreign: frozenset[bytes], *, origin: bool
) -> list[tuple[bytes, bytes]]:
    kept: list[tuple[bytes, bytes]] = []
    markers = _markers(call, head, profile)
    for key, value in head.fields:
        name = key.lower()
        if _goes(name, foreign):
            continue
        if name.startswith(_CORS):
            if origin:
                kept.append((key, _without_words(value)))
            continue
        kept.append((key, _location(call, value, markers) if name == b"location" else value))
    return kept


def _without_words(value: bytes) -> bytes:
    """Return a list of header names without those that only an emulator has."""
    if not any(word in value.lower() for word in _WORDS):
        return value
    names = [name.strip() for name in value.split(b",")]
    return b",".join(name for name in names if not name.lower().startswith(_WORDS))


def _markers(call: Call, head: ResponseHead, profile: Profile) -> tuple[str, ...]:
    """Return the names that mean the backend in a Location.

    Customers' endpoints and objects redirect to their own servers, on a loopback address too: in a redirect only a
    name that nothing but the backend has means the backend.
    """
    if call.service in _CUSTOMERS:
        return ()
    return profile.markers if head.status < _REDIRECTS else tuple(m for m in profile.markers if m not in LOOPBACK)


def _location(call: Call, value: bytes, markers: tuple[str, ...]) -> bytes:
    """Return a URL of the backend as AWS would spell it; any other as it is."""
    if call.operation == "CreateBucket" and value.startswith(b"/"):
        return _bucket_location(call, value)
    try:
        url = urlsplit(value.decode("ascii"))
        host = url.hostname or ""
    except ValueError:  # not ASCII, or no URL
        return value
    if call.operation == "PostObject" and host == call.host and not url.query:  # with one it is the form's own
        return url._replace(scheme="https").geturl().encode()
    marker = next((m for m in markers if host == m or host.endswith(f".{m}")), "")
    if not marker or url.scheme not in _URL_SCHEMES:
        return value
    asked = parse_host(call.host)
    before = host.removesuffix(marker).removesuffix(".")
    # Without labels of its own the URL means the host that was asked.
    suffix = asked.suffix if asked is not None else "amazonaws.com"
    name = f"{before}.{suffix}" if before else call.host
    if not is_aws_name(name):
        return value
    # S3's answer to CreateBucket has said http since before there was anything else.
    scheme = "http" if call.operation == "CreateBucket" else "https"
    return url._replace(scheme=scheme, netloc=name).geturl().encode()


def _bucket_location(call: Call, value: bytes) -> bytes:
    """Return where a new bucket is: in us-east-1 a path, elsewhere a URL, which has said http ever since."""
    region, bucket = call.region, value.strip(b"/").decode("latin-1")
    asked = parse_host(call.host)
    if region in {"", "us-east-1"} or asked is None or "/" in bucket or not bucket.isascii():
        return value
    place = "s3" if asked.partition == "aws" else f"s3.{region}"
    return f"http://{bucket}.{place}.{partition_of(suffix=asked.suffix, region=region).suffix}/".encode()


def _wanted(call: Call, request_id: str, date: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return what AWS always sends: each name in lower case, as AWS spells it, and the value."""
    found = [(b"date", b"Date", date)] if date else []
    if call.service in _CUSTOMERS:
        return found
    identity = request_id.encode("ascii", "replace")
    if call.service in _S3:
        return [
            *found,
            (b"x-amz-request-id", b"x-amz-request-id", identity),
            (b"x-amz-id-2", b"x-amz-id-2", extended_request_id(request_id).encode()),
            _S3_SERVER,
        ]
    return [*found, (b"x-amzn-requestid", b"x-amzn-RequestId", identity)]
