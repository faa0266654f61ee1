"""The form of a request that a backend understands. Only heads change, and only where the backend needs it.

Signatures become wrong by it. That is no loss: backends that emulate AWS don't know the client's secret.
"""

from typing import Final

from kecs.aws import services
from kecs.aws.call import Call
from kecs.aws.head import Fields, RequestHead
from kecs.aws.hosts import AwsHost, parse_host
from kecs.aws.profiles import PathStyle, Profile, Sign

_NO_DATE: Final = "20000101"
_DATE_DIGITS: Final = 8
_TEST_KEY: Final = "test"
_NO_SIGNATURE: Final = "0" * 64
_V4A: Final = b"AWS4-ECDSA-P256-SHA256"


def canonicalise(call: Call, head: RequestHead, profile: Profile) -> RequestHead:
    """Return the head that the backend understands; the same object when nothing has to change."""
    aws = parse_host(call.host)
    if aws is not None:
        head = _with_host(head, profile, aws)
    return _with_scope(call, head, profile)


def _canonical_name(profile: Profile, aws: AwsHost) -> str:
    name = aws.canonical if profile.canonical_host else aws.name
    if aws.account and not aws.data_plane and not profile.account_hosts:
        name = name.removeprefix(f"{aws.account}.")
    return name


def _wants_path_style(profile: Profile, aws: AwsHost) -> bool:
    if not aws.bucket or aws.prefix != "s3":
        return False
    return profile.path_style is PathStyle.ALWAYS or (profile.path_style is PathStyle.DOTTED and "." in aws.bucket)


def _with_host(head: RequestHead, profile: Profile, aws: AwsHost) -> RequestHead:
    name = _canonical_name(profile, aws)
    target = head.target
    if _wants_path_style(profile, aws):
        name = name.removeprefix(f"{aws.bucket}.")
        target = b"/" + aws.bucket.encode() + target
    if name == aws.name and target is head.target and head.get(b"host") == name.encode():
        return head
    return RequestHead(method=head.method, target=target, fields=_renamed(head.fields, name))


def _renamed(fields: Fields, name: str) -> Fields:
    """Replace the Host field where it stands, or put one first."""
    value = name.encode()
    if any(key.lower() == b"host" for key, _ in fields):
        return tuple((key, value) if key.lower() == b"host" else (key, old) for key, old in fields)
    return ((b"Host", value), *fields)


def _needs_scope(call: Call, head: RequestHead, profile: Profile) -> bool:
    # Customers' own endpoints are in no table: what their clients send is theirs.
    if call.service == "s3" or services.protocol(call.service) is None:
        return False
    authorization = head.get(b"authorization")
    if authorization is not None:
        return not profile.asymmetric and authorization.startswith(_V4A)
    if call.signing_name:
        return not profile.query_credential  # it stood in the query string
    return profile.sign is Sign.ALL or (profile.sign is Sign.SQS and call.service == "sqs")


def _with_scope(call: Call, head: RequestHead, profile: Profile) -> RequestHead:
    if not _needs_scope(call, head, profile):
        return head
    stamp = (head.get(b"x-amz-date") or b"")[:_DATE_DIGITS].decode("latin-1")
    date = stamp if len(stamp) == _DATE_DIGITS and stamp.isdigit() else _NO_DATE
    signing = call.signing_name or services.signing_name(call.service)
    scope = "/".join((call.access_key or _TEST_KEY, date, call.region or "us-east-1", signing, "aws4_request"))
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={_NO_SIGNATURE}"
    return head.with_fields(
        drop=(b"authorization", b"x-amz-region-set"), add=((b"Authorization", value.encode("latin-1", "replace")),)
    )
