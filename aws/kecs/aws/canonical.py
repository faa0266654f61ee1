"""The form of a request that a backend understands, or the refusal of one that none of its forms can say.

Signatures become wrong by it. That is no loss: backends that emulate AWS don't know the client's secret; for one that
verifies presigned URLs they are signed anew. What follows from host and profile alone is worked out once for each.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from kecs.aws import canonical_bodies, canonical_s3, code_objects, services
from kecs.aws.call import Call
from kecs.aws.canonical_types import Changed, Refusal, renamed
from kecs.aws.forms import Form, form_at, form_of_target
from kecs.aws.head import RequestHead
from kecs.aws.hosts import AwsHost, parse_host
from kecs.aws.presigned import is_expired, is_presigned, signed_anew
from kecs.aws.profiles import AccountBy, PathStyle, Profile, Sign

_KEPT: Final = 4096
_NO_DATE: Final = "20000101"
_DATE_DIGITS: Final = 8
_TEST_KEY: Final = "test"
_NO_SIGNATURE: Final = "0" * 64
_V4A: Final = b"AWS4-ECDSA-P256-SHA256"
_BEARER: Final = b"bearer "
_EXPIRED: Final = "Request has expired"
_KEY_END: Final = b"Credential="
_IN_QUERY: Final = re.compile(rb"([?&](?:X-Amz-Credential|AWSAccessKeyId)=)[^&/%]*+")
"""The access key of a presigned URL of either version."""
_MOTO_ACCOUNT: Final = b"x-moto-account-id"


class _Plan(NamedTuple):
    """What host, service, operation and profile say about every request."""

    name: bytes
    """The Host that the backend gets; empty for a name that is not AWS's."""
    prefix: bytes
    """What goes before the path."""
    express: bool
    refused: Refusal | None
    s3: bool
    asks: bool
    """Whether bucket or path may tell of a form that these don't."""
    api: bool
    """Whether it is a service of AWS. Customers' own endpoints are in no table: what their clients send is theirs."""


def canonicalise(
    call: Call,
    head: RequestHead,
    profile: Profile,
    *,
    body: bytes | None = None,
    account: str = "",
    clock: Callable[[], datetime] | None = None,
) -> RequestHead | Changed | Refusal:
    """Return the head that the backend understands, the same object when nothing has to change; or a refusal.

    `body` is the whole body, None where it is longer than `body_wanted` asked for. `account` is the account meant when
    it is not the backend's own default. With a `clock`, presigned URLs of S3 expire: most backends don't look.
    """
    plan = _plan(call.host, call.service, call.operation, profile)
    if plan.asks and form_of_target(call, head.target) is not None:
        plan = _by_target(call, head, profile, plan)
    if plan.refused is not None:
        return plan.refused
    changed = _with_host(head, plan) if plan.name else head
    made: RequestHead | Changed | Refusal
    if plan.s3:
        if clock is not None and is_presigned(head) and is_expired(head, clock()):
            return Refusal(what="it", profile=profile.name, status=403, code="AccessDenied", because=_EXPIRED)
        if profile.code_path:
            changed = code_objects.at_backend(call, changed, profile)
        made = _s3(call, changed, profile, plan, account)
    else:
        if plan.api:
            changed = _with_scope(call, changed, profile)
        if account:
            changed = _with_account(changed, profile, account)
        made = canonical_bodies.changed(call, changed, profile, body)
    if body is None and isinstance(made, Changed) and made.body is not None:
        because = f"{call.operation or 'the request'} of {call.service} has a longer body than is expected of it"
        return Refusal(what="it", profile=profile.name, status=400, code="MalformedRequest", because=because)
    return made


def body_wanted(head: RequestHead, profile: Profile) -> int:
    """Return how much of the body `canonicalise` needs: all of it, up to a bound, or nothing."""
    return canonical_bodies.wanted(head, profile) or canonical_s3.wanted(head)


def _refused(host: str, service: str, form: Form, profile: Profile) -> Refusal | None:
    if form not in profile.refuses:
        return None
    what: str = form.value
    if form is Form.UNKNOWN:
        what = f"what is asked at {host or 'a host that is not said'}"
    elif form is Form.STRAY:
        what += f" ({service})"
    return Refusal(what=what, profile=profile.name)


@lru_cache(maxsize=_KEPT)
def _plan(name: str, service: str, operation: str, profile: Profile) -> _Plan:
    form = form_at(name, service, operation) or (Form.STRAY if service in profile.strays else None)
    plan = _Plan(
        name=b"",
        prefix=b"",
        express=False,
        refused=None if form is None else _refused(name, service, form, profile),
        s3=service == "s3",
        asks=service in {"s3", "sns"},
        api=service != "s3" and services.protocol(service) is not None,
    )
    host = parse_host(name)
    if host is None:
        return plan
    express = host.prefix.startswith("s3express-")
    spelled = _canonical_name(profile, host, express=express)
    prefix = b""
    if _wants_path_style(profile, host, express=express):
        spelled = spelled.removeprefix(f"{host.bucket}.")
        prefix = b"/" + host.bucket.encode()
    elif form is Form.EXECUTE_API and profile.api_path:
        prefix = profile.api_path + b"/" + host.resource.encode()
    elif form is Form.LOAD_BALANCER and profile.balancer_path:
        # Its DNS name is the load balancer's with an id after it.
        prefix = profile.balancer_path + b"/" + (_without_id(host.resource) or host.resource).encode()
    return plan._replace(name=spelled.encode(), prefix=prefix, express=express)


def _without_id(name: str) -> str:
    return name.removeprefix("internal-").rpartition("-")[0]


def _by_target(call: Call, head: RequestHead, profile: Profile, plan: _Plan) -> _Plan:
    """Return the plan where bucket or path tell of another form than host and operation do."""
    form = form_of_target(call, head.target)
    if form is None or plan.refused is not None:
        return plan
    refused = _refused(call.host, call.service, form, profile)
    if form is not Form.SIGNING_CERTIFICATE or not profile.certificate_path:
        return plan if refused is None else plan._replace(refused=refused)
    return plan._replace(prefix=profile.certificate_path)


def _canonical_name(profile: Profile, host: AwsHost, *, express: bool) -> str:
    if express:
        return canonical_s3.plain_name(host)
    name = host.canonical if profile.canonical_host else host.name
    if host.account and not host.data_plane and not profile.account_hosts and host.prefix != "s3-accesspoint":
        name = name.removeprefix(f"{host.account}.")
    return name


def _wants_path_style(profile: Profile, host: AwsHost, *, express: bool) -> bool:
    if not host.bucket or not (host.prefix == "s3" or express):
        return False
    return profile.path_style is PathStyle.ALWAYS or (profile.path_style is PathStyle.DOTTED and "." in host.bucket)


def _with_host(head: RequestHead, plan: _Plan) -> RequestHead:
    if not plan.prefix and head.get(b"host") == plan.name:
        return head
    return RequestHead(method=head.method, target=plan.prefix + head.target, fields=renamed(head.fields, plan.name))


def _s3(call: Call, head: RequestHead, profile: Profile, plan: _Plan, account: str) -> RequestHead | Changed:
    made = None
    if plan.express:
        made = canonical_s3.from_express(call, head)
        head = made.head if is_presigned(head) else _signed(call, made.head, "s3")
    if profile.verifies_presigned and is_presigned(head):
        head = signed_anew(head, key=account or call.access_key)
    elif account:
        head = _with_account(head, profile, account)
    if made is None or (made.body is None and made.answered is None):
        return head
    return Changed(head=head, body=made.body, answered=made.answered)


def _needs_scope(call: Call, head: RequestHead, profile: Profile) -> bool:
    authorization = head.get(b"authorization")
    if authorization is not None:
        # A token says nothing of service and region; some emulators fail on it.
        if authorization[: len(_BEARER)].lower() == _BEARER:
            return True
        return not profile.asymmetric and authorization.startswith(_V4A)
    if call.signing_name:
        return not profile.query_credential  # it stood in the query string
    return profile.sign is Sign.ALL or (profile.sign is Sign.SQS and call.service == "sqs")


def _with_scope(call: Call, head: RequestHead, profile: Profile) -> RequestHead:
    if not _needs_scope(call, head, profile):
        return head
    return _signed(call, head, call.signing_name or services.signing_name(call.service))


def _signed(call: Call, head: RequestHead, signing: str) -> RequestHead:
    """Give the request a credential scope of the common kind."""
    stamp = (head.get(b"x-amz-date") or b"")[:_DATE_DIGITS].decode("latin-1")
    date = stamp if len(stamp) == _DATE_DIGITS and stamp.isdigit() else _NO_DATE
    scope = "/".join((call.access_key or _TEST_KEY, date, call.region or "us-east-1", signing, "aws4_request"))
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={_NO_SIGNATURE}"
    return head.with_fields(
        drop=(b"authorization", b"x-amz-region-set"), add=((b"Authorization", value.encode("latin-1", "replace")),)
    )


def _with_account(head: RequestHead, profile: Profile, account: str) -> RequestHead:
    match profile.account_by:
        case AccountBy.HEADER:
            return head.with_fields(drop=(_MOTO_ACCOUNT,), add=((_MOTO_ACCOUNT, account.encode()),))
        case AccountBy.KEY:
            return _with_key(head, account.encode())
        case AccountBy.NOTHING:
            return head


def _with_key(head: RequestHead, key: bytes) -> RequestHead:
    """Say another access key in the credential, in the header or in the query."""
    authorization = head.get(b"authorization")
    if authorization is not None:
        before, found, rest = authorization.partition(_KEY_END)
        if not found:
            return head
        value = before + found + key + b"/" + rest.partition(b"/")[2]
        return head.with_fields(drop=(b"authorization",), add=((b"Authorization", value),))
    target = _IN_QUERY.sub(rb"\g<1>" + key, head.target, count=1)
    if target == head.target:
        return head
    return RequestHead(method=head.method, target=target, fields=head.fields)
