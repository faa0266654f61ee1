"""Which of moto's services a host name asks, and the URL under which moto knows it.

moto's own patterns are anchored at the left only and use wildcards freely (`s3.amazonaws.com.evil.example` is S3 to
them), so names are cut at an anchored suffix here, and only what is left is compared with moto's patterns.
Never opens a socket.
"""

import re
from dataclasses import dataclass
from typing import Final

SUFFIXES: Final = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
)
"""The DNS suffixes of the partitions, and their dual-stack twins."""

_KEPT: Final = ("amazonaws.com", "amazonaws.com.cn")
"""Suffixes that moto itself spells URLs with; other names are asked under amazonaws.com."""

_REGION: Final = r"[a-z]{2,4}(?:-[a-z]+)+-\d+"
_S3: Final = re.compile(
    rf"(?:(?P<bucket>.+)\.)?s3(?:-accelerate|-fips|-external-1)?(?:\.dualstack)?(?:[.-](?P<region>{_REGION}))?"
)
_S3_LIKE: Final = re.compile(r"(?:.+\.)?s3(?:express)?-?[a-z0-9-]*(?:\..*)?")
_ACCESS_POINT: Final = re.compile(rf"[a-z0-9-]+-\d{{12}}\.s3-accesspoint(?:\.dualstack)?\.(?P<region>{_REGION})")
_FIPS: Final = re.compile(r"-fips(?=\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where moto is to be asked."""

    service: str
    """S3 when the name says so; empty: moto's index decides by `asked`."""
    asked: str
    """The name under amazonaws.com which moto's patterns are compared with."""
    host: str
    """The host that moto builds its answers from."""
    prefix: str = ""
    """What goes before the path: the bucket of a virtual-hosted S3 request."""


def locate(host: str) -> Place | None:
    """Return where moto answers for this name (lower case, no port); None when it is not a name of AWS."""
    name = host.rstrip(".")
    suffix = max((suffix for suffix in SUFFIXES if name.endswith(f".{suffix}")), key=len, default=None)
    if suffix is None:
        return None
    labels = name.removesuffix(f".{suffix}")
    if match := _S3.fullmatch(labels):
        return _bucket(match)
    if match := _ACCESS_POINT.fullmatch(labels):
        return Place(service="s3", asked=f"{labels}.amazonaws.com", host=f"{labels}.amazonaws.com")
    if _S3_LIKE.fullmatch(labels) and "s3-control" not in labels and not labels.startswith(("s3tables", "s3vectors")):
        return Place(service="", asked="", host=name)  # websites, directory buckets: moto would list buckets
    plain = _FIPS.sub("", labels)
    asked = f"{plain}.amazonaws.com"
    return Place(service="", asked=asked, host=f"{plain}.{suffix}" if suffix in _KEPT else asked)


def _bucket(match: re.Match[str]) -> Place:
    """Spell an S3 request path-style: moto loses the `www.` of a virtual-hosted bucket and knows not every old name."""
    region = f".{match['region']}" if match["region"] else ""
    host = f"s3{region}.amazonaws.com"
    return Place(service="s3", asked=host, host=host, prefix=f"/{match['bucket']}" if match["bucket"] else "")
