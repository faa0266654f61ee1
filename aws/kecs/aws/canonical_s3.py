"""Directory buckets (S3 Express) as common buckets: their hosts, sessions, creation and list.

No emulator measured has sessions: two refuse them, one answers 200 without credentials. With the session taken away a
directory bucket behaves as any other for reading, writing and listing objects.
"""

from datetime import datetime, timedelta
from html import escape
from typing import Final
from urllib.parse import unquote

from kecs.aws.call import Call
from kecs.aws.canonical_types import Back, Changed, with_body
from kecs.aws.head import RequestHead
from kecs.aws.hosts import AwsHost

CONTROL: Final = "s3express-control"
_BODY_MAX: Final = 64 * 1024
_SUFFIX: Final = b"--x-s3"
_SESSION: Final = (b"x-amz-s3session-token", b"x-amz-create-session-mode")
_LASTS: Final = timedelta(minutes=5)
"""As AWS' sessions do."""
_XMLNS: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def plain_name(host: AwsHost) -> str:
    """Return the name of the common endpoint that a directory bucket's host becomes."""
    rest = host.canonical.removeprefix(f"{host.bucket}.").removeprefix(f"{host.prefix}.")
    return ".".join(part for part in (host.bucket, "s3", rest) if part)


def wanted(head: RequestHead) -> int:
    """Return how much of the body is needed: that which says where a directory bucket is to be."""
    if head.method == b"PUT" and (head.get(b"host") or b"").startswith(CONTROL.encode()):
        return _BODY_MAX
    return 0


def from_express(call: Call, head: RequestHead) -> Changed:
    """Return the common request that a request to a directory bucket becomes."""
    if any(name in head.shape.index for name in _SESSION):
        head = head.with_fields(drop=_SESSION)
    path = head.target.partition(b"?")[0]
    match call.operation:
        case "CreateSession":
            return Changed(head=_asked(head, path + b"?location"), answered=Back.SESSION)
        case "ListDirectoryBuckets":
            return Changed(head=_asked(head, b"/"), answered=Back.DIRECTORIES)
        case "CreateBucket" if call.host.startswith(CONTROL):
            body = _constraint(call.region)
            return Changed(head=with_body(head, body, drop=_CHECKSUMS), body=body)
        case _:
            return Changed(head=head)


_CHECKSUMS: Final = (
    b"x-amz-content-sha256",
    b"x-amz-sdk-checksum-algorithm",
    b"x-amz-checksum-crc32",
    b"x-amz-checksum-crc32c",
    b"x-amz-checksum-crc64nvme",
    b"x-amz-checksum-sha1",
    b"x-amz-checksum-sha256",
)


def _asked(head: RequestHead, target: bytes) -> RequestHead:
    plain = head.with_fields(drop=(b"accept-encoding",))
    return RequestHead(method=head.method, target=target, fields=plain.fields)


def _constraint(region: str) -> bytes:
    """Return where the bucket is to be: the zone's region, which S3's first region is without saying."""
    if region in {"", "us-east-1"}:
        return b""
    inside = f"<LocationConstraint>{escape(region, quote=False)}</LocationConstraint>"
    return f'<CreateBucketConfiguration xmlns="{_XMLNS}">{inside}</CreateBucketConfiguration>'.encode()


def session(access_key: str, now: datetime) -> bytes:
    """Return the credentials of a session, as CreateSession answers."""
    until = (now + _LASTS).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = {
        "SessionToken": "kecs",
        "SecretAccessKey": "kecs",
        "AccessKeyId": access_key or "test",
        "Expiration": until,
    }
    inside = "".join(f"<{name}>{escape(value, quote=False)}</{name}>" for name, value in parts.items())
    text = f'{_XML}<CreateSessionResult xmlns="{_XMLNS}"><Credentials>{inside}</Credentials></CreateSessionResult>'
    return text.encode()


def directories(listed: bytes) -> bytes:
    """Return of a list of buckets the directory buckets, as ListDirectoryBuckets answers."""
    kept = []
    for piece in listed.split(b"<Bucket>")[1:]:
        inside = piece.partition(b"</Bucket>")[0]
        name = inside.partition(b"<Name>")[2].partition(b"</Name>")[0]
        if unquote(name.decode("latin-1")).endswith(_SUFFIX.decode()):
            kept.append(b"<Bucket>" + inside + b"</Bucket>")
    start = f'{_XML}<ListAllMyDirectoryBucketsResult xmlns="{_XMLNS}">'.encode()
    return start + b"<Buckets>" + b"".join(kept) + b"</Buckets></ListAllMyDirectoryBucketsResult>"
