"""What is known of each backend: which spellings of a request it understands, and what betrays it in answers.

Every entry was measured by sending the real host names of AWS to the backend; where a backend understands what a client
sends, nothing is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from kecs.aws.forms import Form


class PathStyle(StrEnum):
    """When a bucket has to move from the host name to the path."""

    NEVER = "never"
    DOTTED = "dotted"
    """For buckets with dots, which the backend's host pattern does not expect."""
    ALWAYS = "always"
    """The backend does not look at the host name, or knows other suffixes only."""


class Sign(StrEnum):
    """Which unsigned requests get a made-up credential scope, because the backend routes by it."""

    NEVER = "never"
    SQS = "sqs"
    """Only SQS, whose clients may leave queues open to anyone."""
    ALL = "all"
    """All but S3's, where unsigned means anonymous."""


class AccountBy(StrEnum):
    """How a backend is told which account is meant, when it is not its own default."""

    NOTHING = "nothing"
    """It knows one account."""
    KEY = "key"
    """An access key of twelve digits is an account."""
    HEADER = "header"
    """A header field of its own: moto's x-moto-account-id."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """One kind of backend. Compared by identity: it is part of keys that are looked up for each request."""

    name: str
    canonical_host: bool = True
    """Spell hosts as the standard endpoints: without fips, dualstack, accelerate, vpce, legacy forms, api.aws."""
    account_hosts: bool = False
    """Understands accounts in host names: <account>.ddb.<region>, <account>.s3-control.<region>."""
    path_style: PathStyle = PathStyle.NEVER
    sign: Sign = Sign.NEVER
    asymmetric: bool = True
    """Understands SigV4A, whose scope has no region."""
    query_credential: bool = True
    """Understands credentials in the query string of services other than S3."""
    query_by_get: bool = True
    """Answers the query protocol's GET as it answers its POST."""
    cbor: bool = True
    """Speaks CBOR with services whose clients do: CloudWatch's and Kinesis'."""
    verifies_presigned: bool = False
    """Verifies presigned S3 URLs of version 4, and knows the access key `test` with the secret `test`."""
    account_by: AccountBy = AccountBy.NOTHING
    certificate_path: bytes = b""
    """Below which it has the certificates that SNS messages are signed with; empty: where SNS has them."""
    code_path: bytes = b""
    """Where its addresses of Lambda's code and layers begin; empty: they are objects of its S3."""
    owner: str = ""
    """What it calls the owner of every bucket, where that is a name of its own."""
    api_path: bytes = b""
    """Below which it serves APIs of API Gateway by id, stage and path; empty: by their host names."""
    balancer_path: bytes = b""
    """Below which it serves load balancers by name; empty: by their host names, or not at all."""
    unserved: tuple[tuple[bytes, bytes], ...] = ()
    """How it says that it does not have something, where that is no error of AWS's: a content type, and how the body
    begins."""
    refuses: frozenset[Form] = frozenset()
    """Forms of requests that are answered here, since the backend would answer them wrongly or not at all."""
    strays: frozenset[str] = frozenset()
    """Services whose requests it takes for S3's."""
    markers: tuple[str, ...] = ()
    """Names under which the backend's own addresses appear in its answers; ports don't matter."""


LOOPBACK: Final = ("localhost", "127.0.0.1")

_NOWHERE: Final = frozenset(
    {
        Form.UNKNOWN,
        Form.STRAY,
        Form.OUTPOSTS,
        Form.SEARCH_DOMAIN,
        Form.CLUSTER,
        Form.IOT_CREDENTIALS,
        Form.LOAD_BALANCER,
        Form.GRAPHQL,
        Form.PACKAGES,
    }
)
"""What no backend has: nothing listens, or a list of S3's buckets comes back."""

_RESOURCES: Final = _NOWHERE | {
    Form.WEBSITE,
    Form.ACCESS_POINT,
    Form.ACCESS_POINT_ALIAS,
    Form.OBJECT_LAMBDA,
    Form.MULTI_REGION,
    Form.EXECUTE_API,
    Form.FUNCTION_URL,
    Form.REGISTRY,
    Form.SIGNING_CERTIFICATE,
}
"""What is asked at a host or a path of its own: a backend of which nothing is known may take it for S3."""

_MOTO: Final = _NOWHERE | {
    Form.ACCESS_POINT_ALIAS,
    Form.OBJECT_LAMBDA,
    Form.MULTI_REGION,
    Form.EXECUTE_API,
    Form.FUNCTION_URL,
    Form.REGISTRY,
    Form.SUBSCRIBE_TO_SHARD,
    Form.SYNC_EXECUTION,
    Form.CONVERSE,
}

_HTML: Final = ((b"text/html", b"<!doctype html"),)
"""The page of a web framework whose application broke, or has no such path."""

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            # moto in-process, routed by host: api.aws and SigV4A endpoints are unknown to its patterns. It takes a GET
            # to CloudWatch for CBOR, and fails; whose URL of STS is presigned, it takes for the account's root.
            Profile(
                name="embedded",
                account_hosts=True,
                sign=Sign.SQS,
                asymmetric=False,
                query_credential=False,
                query_by_get=False,
                cbor=False,
                account_by=AccountBy.HEADER,
                refuses=_MOTO,
            ),
            # Takes b.s3-eu-west-1 for a path, accelerate and FIPS hosts for bucket names; what nothing tells for S3.
            Profile(
                name="localstack",
                sign=Sign.ALL,
                account_by=AccountBy.KEY,
                certificate_path=b"/_aws/sns",
                refuses=_NOWHERE
                | {
                    Form.ACCESS_POINT,
                    Form.ACCESS_POINT_ALIAS,
                    Form.OBJECT_LAMBDA,
                    Form.MULTI_REGION,
                    Form.SELECT,
                    Form.REGISTRY,
                    Form.LIVE_TAIL,
                    Form.CONVERSE,
                },
                markers=("localhost.localstack.cloud", *LOOPBACK),
            ),
            # 404 for buckets with dots; APIs only by names of its own; websites are taken for buckets.
            Profile(
                name="ministack",
                path_style=PathStyle.DOTTED,
                sign=Sign.ALL,
                cbor=False,
                verifies_presigned=True,
                account_by=AccountBy.KEY,
                api_path=b"/_aws/execute-api",
                code_path=b"/_ministack/lambda-",
                owner="ministack",
                balancer_path=b"/_alb",
                unserved=((b"application/json", b'{"error": "Unsupported service'),),
                refuses=_NOWHERE - {Form.LOAD_BALANCER, Form.GRAPHQL}
                | {Form.WEBSITE, Form.SELECT, Form.SIGNING_CERTIFICATE},
                markers=("ministack.local", *LOOPBACK),
            ),
            # Ignores hosts and routes by scope alone: what has none is taken for S3, and answered 200. Its web server
            # makes one slash of several at the beginning of a path, which keys of a bucket's own host may begin with.
            Profile(
                name="moto-server",
                account_hosts=True,
                path_style=PathStyle.ALWAYS,
                sign=Sign.ALL,
                asymmetric=False,
                query_credential=False,
                query_by_get=False,
                cbor=False,
                account_by=AccountBy.HEADER,
                unserved=_HTML,
                refuses=_MOTO | {Form.WEBSITE},
                strays=frozenset({"s3outposts", "s3files"}),
                markers=LOOPBACK,
            ),
            # Nothing is known: the plainest spelling of everything, and nothing that most would take for S3.
            Profile(
                name="generic",
                path_style=PathStyle.DOTTED,
                sign=Sign.ALL,
                asymmetric=False,
                query_credential=False,
                query_by_get=False,
                cbor=False,
                unserved=_HTML,
                refuses=_RESOURCES,
                markers=LOOPBACK,
            ),
        )
    }
)
"""Profiles by name."""
