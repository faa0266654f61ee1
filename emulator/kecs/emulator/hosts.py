"""The URL under which moto knows what a host name asks for.

moto's own patterns are anchored at the left only and use wildcards freely (`s3.amazonaws.com.evil.example` is S3 to
them), and S3's take any name with `s3` in it. So names are read by `kecs.aws.hosts`, and moto only sees the result.
"""

from dataclasses import dataclass, replace
from typing import Final

from kecs.aws.hosts import SUFFIXES, AwsHost, parse_host

_KEPT: Final = ("amazonaws.com", "amazonaws.com.cn", "api.aws")
"""Suffixes that moto itself spells URLs with; other names are asked under amazonaws.com."""
_S3_OF_MOTO: Final = ("s3-accesspoint", "s3-control")
"""What moto has beside plain S3. For object lambdas, directory buckets and the rest it would list buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where moto is to be asked."""

    service: str
    """s3 when the name says so; empty: moto's index decides by `asked`."""
    asked: str
    """The name which moto's patterns are compared with; empty when moto has nothing like it."""
    host: str
    """The host that moto builds its answers from."""
    prefix: str = ""
    """What goes before the path: the bucket of a virtual-hosted S3 request."""
    scheme: str = "https"
    """Of the URLs in answers."""
    regional: str = ""
    """The same with its region, for a name that has none: moto knows many services by regional names only."""
    website: bool = False
    """The bucket is asked as a website."""


def locate(name: str) -> Place | None:
    """Return where moto answers for this name; None when it is not a name of AWS."""
    host = parse_host(name)
    if host is None:
        return None
    if host.prefix == "s3":
        return _bucket(host)
    if host.prefix == "s3-website" and host.bucket:
        return replace(_bucket(host), website=True)
    if host.prefix.startswith("s3-") and host.prefix not in _S3_OF_MOTO:
        return Place(service="", asked="", host=host.name)
    # moto knows accounts in the names of DynamoDB and S3 Control by their own spelling only.
    spelled = host.name if host.prefix == "ddb" else host.canonical
    if host.account and host.prefix not in ("ddb", *_S3_OF_MOTO):
        spelled = spelled.removeprefix(f"{host.account}.")
    suffix = max((suffix for suffix in SUFFIXES if spelled.endswith(f".{suffix}")), key=len)
    plain = f"{spelled.removesuffix(f'.{suffix}')}.amazonaws.com"
    without = bool(host.services) and not host.region and plain == f"{host.prefix}.amazonaws.com"
    return Place(
        service="s3" if host.prefix == "s3-accesspoint" else "",
        regional=f"{host.prefix}.{host.default_region}.amazonaws.com" if without else "",
        asked=spelled if suffix == "api.aws" else plain,
        host=spelled if suffix in _KEPT else plain,
    )


def _bucket(host: AwsHost) -> Place:
    """Spell an S3 request path-style: moto loses the `www.` of a virtual-hosted bucket and knows not every old name."""
    asked = f"s3.{host.region}.amazonaws.com" if host.region else "s3.amazonaws.com"
    return Place(service="s3", asked=asked, host=asked, prefix=f"/{host.bucket}" if host.bucket else "")
