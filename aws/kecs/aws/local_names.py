"""Names below which a gateway stands for AWS on a machine: what they ask for, and how AWS's names are spelled as them.

Whoever is given an endpoint (AWS_ENDPOINT_URL) says the gateway's own name as Host, or puts a bucket, an API or a whole
service before it. Inward that becomes the name AWS would be asked by, outward its addresses become the gateway's. Pure.
"""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from kecs.aws.call import Call
from kecs.aws.hosts import AwsHost, is_aws_name, normalise, parse_host
from kecs.aws.partitions import ENDPOINT_SUFFIX, of_region
from kecs.aws.services import signing_name
from kecs.aws.tables import tables

LOCALSTACK: Final = "localhost.localstack.cloud"
"""Resolves, with all that is below it, to 127.0.0.1: LocalStack's own public DNS record."""
BASES: Final = (LOCALSTACK, "localhost")
"""Names of which those below are asked for too, the more special one first."""

_KEPT: Final = 4096
_DEFAULT_REGION: Final = "us-east-1"
_ACCOUNT: Final = re.compile(r"\d{12}")
_ON_AWS: Final = frozenset({"lambda-url", "dsql"})
_LOCALSTACKS: Final = frozenset({"opensearch", "cloudfront", "elasticache"})
"""Labels before LocalStack's name that AWS spells in another way: what is asked there is passed as it is."""
_ADDRESS: Final = re.compile(r"(?<![\w.@-])(?:(https?|wss?)://)?([\w.-]+\.[a-z]{2,})(?::(443|80))?(?![\w-])", re.ASCII)
_NAMED: Final = {"s3": "s3", "s3control": "s3-control", "s3outposts": "s3-outposts", "iot-data": "data-ats.iot"}
"""Prefixes that are in no table, or in several."""


class Asked(NamedTuple):
    """What a Host field says."""

    name: str
    """The name AWS would be asked by; empty where the labels don't tell of a service."""
    labels: str
    """What stands before the gateway's own name."""
    foreign: bool = False
    """LocalStack's own name for something: nothing of AWS's says it."""


class Base(NamedTuple):
    """How a client reached the gateway: what its addresses are spelled by."""

    scheme: str
    host: str
    """Of the Host field, without labels that ask for something; IPv6 in brackets."""
    port: str
    """Empty for the scheme's own."""

    @property
    def authority(self) -> str:
        """Host and port, as a URL has them."""
        return f"{self.host}:{self.port}" if self.port else self.host


def is_local_name(name: str, further: tuple[str, ...] = ()) -> bool:
    """Tell whether a name is the gateway's: one of `BASES`, one of `further`, or below one of them."""
    return any(name == base or name.endswith(f".{base}") for base in (*BASES, *further))


@lru_cache(maxsize=_KEPT)
def asked(host: str) -> Asked:
    """Say what a host, without its port, asks for."""
    name = normalise(host)
    if is_aws_name(name):
        return Asked(name=name, labels="")
    base = next((base for base in BASES if name.endswith(f".{base}")), "")
    if not base:
        return Asked(name="", labels="")
    left = name.removesuffix(f".{base}")
    labels = left.split(".")
    if base == LOCALSTACK and not _LOCALSTACKS.isdisjoint(labels):
        return Asked(name="", labels=left, foreign=True)
    found = parse_host(f"{left}.{ENDPOINT_SUFFIX if not _ON_AWS.isdisjoint(labels) else 'amazonaws.com'}")
    if found is None or not found.services:
        return Asked(name="", labels=left)
    return Asked(name=found.name, labels=left)


def name_for(call: Call, labels: str) -> str:
    """Return the name by which AWS would be asked for a call that came by the gateway's own; empty where it has none.

    `labels` are those before the gateway's name that name no service: a bucket, an account.
    """
    region = call.region or _DEFAULT_REGION
    if call.service == "s3" and labels:
        return f"{labels}.{standard_name('s3', region)}"
    name = standard_name(call.service, region)
    return f"{labels}.{name}" if call.service == "s3control" and _ACCOUNT.fullmatch(labels) else name


@lru_cache(maxsize=_KEPT)
def standard_name(service: str, region: str) -> str:
    """Return the host of a service's endpoint in a region; empty for what has none."""
    prefix = _NAMED.get(service) or _prefixes().get(service, "")
    if not prefix:
        return ""
    suffix = of_region(region).suffix
    place = "" if prefix in tables().regionless and suffix == "amazonaws.com" else f".{region}"
    return f"{prefix}{place}.{suffix}"


@lru_cache(maxsize=1)
def _prefixes() -> dict[str, str]:
    """Return the endpoint prefix of each service: of those where it is the likeliest, its own or the shortest."""
    known = tables()
    found: dict[str, tuple[object, ...]] = {}
    for prefix, services in known.hosts.items():
        for rank, service in enumerate(services):
            foreign = prefix not in {service, signing_name(service)}
            weight = (prefix in known.standard, foreign, prefix.count("."), rank, len(prefix), prefix)
            if service not in found or weight < found[service]:
                found[service] = weight
    return {service: str(weight[-1]) for service, weight in found.items()}


def base_of(field: str, *, secure: bool) -> Base:
    """Read a Host field. Labels that ask for something are no part of the base."""
    host, port = _split(field)
    base = next((base for base in BASES if host.endswith(f".{base}")), host)
    return Base(scheme="https" if secure else "http", host=base or "localhost", port=port)


def _split(field: str) -> tuple[str, str]:
    try:
        parts = urlsplit(f"//{field.strip()}")
        port = parts.port
    except ValueError:
        return "", ""
    host = parts.hostname or ""
    return (f"[{host}]" if ":" in host else host), "" if port is None else str(port)


def spelled(text: str, base: Base) -> str:
    """Return a text with AWS's addresses in it as a client of the gateway can follow them."""
    return _ADDRESS.sub(lambda found: _spelled(found, base), text)


def _spelled(found: re.Match[str], base: Base) -> str:
    scheme, name, _ = found.groups()
    host = parse_host(name.lower())
    if host is None:
        return found[0]
    own = host.resource if host.prefix in {"s3", "s3-website"} or host.data_plane else ""
    if scheme is None and not host.services:
        return found[0]
    said = f"{base.scheme if scheme in {'http', 'https'} else _web(scheme, base)}://" if scheme else ""
    if not own:
        return f"{said}{base.authority}"
    if host.prefix == "s3":
        return f"{said}{base.authority}/{own}"
    return _below(found, said, host, base)


def _web(scheme: str | None, base: Base) -> str:
    return {"http": "ws", "https": "wss"}[base.scheme] if scheme else ""


def _below(found: re.Match[str], said: str, host: AwsHost, base: Base) -> str:
    """Spell a customer's own endpoint: below LocalStack's name, where the client is on the same machine."""
    if not _is_here(base.host):
        return found[0]
    left = host.name.removesuffix(f".{host.suffix}")
    port = f":{base.port}" if base.port and (said or host.services[:1] != ("load-balancer",)) else ""
    return f"{said}{left}.{LOCALSTACK}{port}"


def _is_here(host: str) -> bool:
    """Tell whether the client is on the machine of the gateway, where LocalStack's name leads."""
    if host in BASES:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
