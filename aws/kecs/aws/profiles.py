"""What is known of each backend: which spellings of a request it understands, and what betrays it in answers.

Every entry was measured by sending the real host names of AWS to the backend; where a backend understands what a client
sends, nothing is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of backend."""

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
    markers: tuple[str, ...] = ()
    """Names under which the backend's own addresses appear in its answers; ports don't matter."""


LOOPBACK: Final = ("localhost", "127.0.0.1")

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            # moto in-process, routed by host: api.aws and SigV4A endpoints are unknown to its patterns.
            Profile(name="embedded", account_hosts=True, sign=Sign.SQS, asymmetric=False),
            # Takes b.s3-eu-west-1 for a path, accelerate and FIPS hosts for bucket names.
            Profile(name="localstack", markers=("localhost.localstack.cloud", *LOOPBACK)),
            # 404 for buckets with dots.
            Profile(
                name="ministack", path_style=PathStyle.DOTTED, sign=Sign.SQS, markers=("ministack.local", *LOOPBACK)
            ),
            # Ignores hosts and routes by scope alone: what has none is taken for S3, and answered 200.
            Profile(
                name="moto-server",
                account_hosts=True,
                sign=Sign.ALL,
                asymmetric=False,
                query_credential=False,
                markers=LOOPBACK,
            ),
            # Nothing is known: the plainest spelling of everything.
            Profile(
                name="generic",
                path_style=PathStyle.DOTTED,
                sign=Sign.ALL,
                asymmetric=False,
                query_credential=False,
                markers=LOOPBACK,
            ),
        )
    }
)
"""Profiles by name."""
