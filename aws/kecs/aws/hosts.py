"""Host names of AWS: which names are AWS's, and what a name says about service, region and resource.

Names are matched label by label from the right, against suffixes of all partitions. Never by substring: what ends in
another domain is not AWS, whatever stands before it.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from kecs.aws.partitions import ENDPOINT_SUFFIX, PARTITIONS, Partition, actual, is_region, partition_of
from kecs.aws.s3_hosts import parse_s3
from kecs.aws.tables import tables

SUFFIXES: Final[tuple[str, ...]] = tuple(
    dict.fromkeys([suffix for p in PARTITIONS for suffix in (p.suffix, p.dual_stack)] + [ENDPOINT_SUFFIX])
)
"""The domains that are AWS's, without a leading dot: what is intercepted, and what certificates are constrained to."""

DATA_PLANES: Final = {
    "execute-api": "execute-api",
    "lambda-url": "lambda-url",
    "dkr.ecr": "ecr-registry",
    "dkr-ecr": "ecr-registry",
    "elb": "load-balancer",
    "es": "opensearch-domain",
    "aos": "opensearch-domain",
    "aoss": "opensearch-domain",
    "eks": "eks-cluster",
    "eks-cluster": "eks-cluster",
    "credentials.iot": "iot-credentials",
    "appsync-api": "appsync-api",
    "appsync-realtime-api": "appsync-api",
    "d.codeartifact": "codeartifact-repository",
}
"""Endpoint prefixes below which customers' own endpoints live, to a name for them. botocore has none: what is said
there is no AWS call but the customer's."""

_BELOW: Final = {"iot": "data-ats.iot", "jobs.iot": "data.jobs.iot", "cloudsearch": "cloudsearchdomain"}
"""Endpoint prefixes below which an account's own hosts are another service's: <id>-ats.iot is no host of iot's API."""

_ONE_FOR_ALL: Final = frozenset({"iot", "jobs.iot"})
"""Of these, the ones whose account-wide host stands for the accounts' own."""

_SUFFIX_SET: Final = frozenset(SUFFIXES)
_NAME_LIMIT: Final = 253
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}+(?:\.[a-z0-9_-]{1,63}+)*+")
_CUSTOMERS_OWN: Final = frozenset({"load-balancer", "opensearch-domain", "eks-cluster", "iot-credentials"})
_PSEUDO: Final = frozenset({"global", "us-gov"})
_ACCOUNT_DIGITS: Final = 12
_MTLS_PROTOCOLS: Final = frozenset({"x-amzn-mqtt-ca", "mqtt"})


_S3_SERVICES: Final = {
    ("s3-control", False): ("s3control",),
    ("s3-control", True): ("s3control",),
    ("s3-outposts", False): ("s3outposts", "s3control"),
    ("s3express-control", False): ("s3control", "s3"),
}
"""Who answers at S3's hosts, by endpoint prefix and whether a resource stands before it; everywhere else S3 itself."""

_PLANES: Final = frozenset(DATA_PLANES.values())


class AwsHost(NamedTuple):
    """What an AWS host name says. Empty strings mean that it does not tell.

    A named tuple, as `Split` is: names that were never asked before are judged on the way of a request.
    """

    name: str
    suffix: str
    partition: str
    prefix: str
    """The endpoint prefix without region, -fips and dualstack: s3, api.ecr, streams.dynamodb."""
    services: tuple[str, ...]
    """Who answers there, the likeliest first; a name from DATA_PLANES for customers' own endpoints."""
    region: str
    """As spelled; empty for hosts without one."""
    default_region: str
    """The region meant: as spelled, else the partition's."""
    resource: str
    """The labels before the prefix: an API's id, an account, a bucket."""
    account: str
    bucket: str
    fips: bool
    dual_stack: bool
    vpc_endpoint: bool
    data_plane: bool
    canonical: str
    """The same place, spelled as the standard endpoint: no -fips, dualstack, accelerate, vpce, no legacy form."""


def _clean(name: str) -> str:
    # Before lower(): the Kelvin sign is a "k" in lower case.
    if not name.isascii():
        return ""
    name = name.lower().removesuffix(".")
    return name if len(name) <= _NAME_LIMIT and _NAME.fullmatch(name) else ""


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """Return the name in lower case without a trailing dot, or an empty string when it can't be a host name."""
    return _clean(name)


def _suffix(name: str) -> str:
    rest = name
    while rest:
        if rest in _SUFFIX_SET:
            return rest
        rest = rest.partition(".")[2]
    return ""


def is_aws_name(name: str) -> bool:
    """Tell whether the name is one of AWS's domains or below one."""
    return _suffix(normalise(name)) != ""


def wants_client_certificate(name: str, alpn: tuple[str, ...] = ()) -> bool:
    """Tell whether the server at this AWS name asks its clients for certificates, which no one in between can show.

    EKS API endpoints, the IoT credential provider, and IoT endpoints asked for MQTT by ALPN.
    """
    host = parse_host(name)
    if host is None:
        return False
    if "iot" in host.prefix.split(".") and not _MTLS_PROTOCOLS.isdisjoint(alpn):
        return True
    return host.services[:1] in (("eks-cluster",), ("iot-credentials",))


class Split(NamedTuple):
    """The labels before a suffix, told apart without knowing services."""

    labels: tuple[str, ...]
    """What is left: resource and endpoint prefix."""
    region: str
    pseudo: str
    """`global` or `us-gov`, where a host has that in the place of a region."""
    dual_stack: bool
    vpc_endpoint: bool


def split(left: str) -> Split:
    """Take region, dualstack and vpce labels out of what stands before the suffix."""
    labels = left.split(".")
    vpc_endpoint = labels[-1] == "vpce"
    if vpc_endpoint:
        labels = [label for label in labels[:-1] if not label.startswith("vpce-")]
    region = pseudo = ""
    for index in range(len(labels) - 1, -1, -1):
        if is_region(labels[index]):
            region = labels.pop(index)
            break
    if len(labels) > 1:
        for index in (len(labels) - 1, 0):
            if labels[index] in _PSEUDO:
                pseudo = labels.pop(index)
                break
    dual_stack = len(labels) > 1 and "dualstack" in labels
    if dual_stack:
        labels.remove("dualstack")
    return Split(labels=tuple(labels), region=region, pseudo=pseudo, dual_stack=dual_stack, vpc_endpoint=vpc_endpoint)


def without_fips(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels without the -fips that FIPS endpoints carry at one of them."""
    return tuple([label.removesuffix("-fips") for label in labels])


def _find(labels: tuple[str, ...], plain: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
    """Return where the endpoint prefix begins, the prefix, and its services; the longest known prefix wins."""
    known = tables().hosts
    prefix = whole = ".".join(plain)
    for index in range(len(labels)):
        if index:
            prefix = prefix.partition(".")[2]
            if prefix in DATA_PLANES and labels[:index] != ("fips",):
                return index, prefix, (DATA_PLANES[prefix],)
            if prefix in _BELOW:
                return index, prefix, known[_BELOW[prefix]]
        if prefix in known:
            return index, prefix, known[prefix]
    return 0, whole, ()


def _canonical(*, prefix: str, resource: str, parts: Split, partition: Partition, suffix: str) -> str:
    known = tables()
    standard = _BELOW[prefix] if resource and prefix in _ONE_FOR_ALL else known.standard.get(prefix, prefix)
    place = parts.region or parts.pseudo
    if standard != prefix:
        # What stood before another spelling has no place before the standard one, which always has a region.
        resource, place = "", place or partition.region
    if suffix != ENDPOINT_SUFFIX:
        suffix = partition.dual_stack if standard in known.dual_stack_only else partition.suffix
    if standard in known.regionless and suffix == "amazonaws.com":
        place = parts.pseudo.replace("global", "")
    elif place.endswith("-global"):
        place = partition.region
    elif place == "global" and suffix == partition.suffix:
        place = ""  # global services have no label in the region's place there
    return ".".join(part for part in (resource, standard, place, suffix) if part)


def _is_standard(left: str, prefix: str, parts: Split) -> bool:
    """Tell whether a name without -fips or dualstack is spelled as the standard endpoint is."""
    reordered = bool(parts.region) and left.startswith(f"{parts.region}.")
    return not reordered and not parts.vpc_endpoint and prefix not in tables().standard


def _parse_other(name: str, suffix: str, left: str) -> AwsHost:
    parts = split(left)
    labels = parts.labels
    plain = without_fips(labels) if "fips" in left else labels
    partition = partition_of(suffix=suffix, region=parts.region or parts.pseudo)
    index, prefix, services = _find(labels, plain)
    resource = ".".join(labels[:index]) if index else ""
    fips = resource == "fips" or (plain is not labels and plain[index:] != labels[index:])
    if resource == "fips":
        resource = ""
    dual_stack = parts.dual_stack or (suffix == partition.dual_stack and prefix not in tables().dual_stack_only)
    varied = fips or dual_stack or not _is_standard(left, prefix, parts)
    if resource and prefix in _ONE_FOR_ALL:
        varied = True
    if prefix == "execute-api" and (parts.vpc_endpoint or "-vpce-" in resource):
        # A VPC endpoint's names carry all APIs: one is named before the endpoint's id, or by a header.
        resource, services, varied = resource.partition("-vpce-")[0], ("execute-api",), True
    plane = services != () and services[0] in _PLANES
    canonical = name
    if varied and services and not (plane and services[0] in _CUSTOMERS_OWN):
        canonical = _canonical(prefix=prefix, resource=resource, parts=parts, partition=partition, suffix=suffix)
    return AwsHost(
        name=name,
        suffix=suffix,
        partition=partition.name,
        prefix=prefix,
        services=services,
        region="" if parts.region.endswith("-global") else parts.region,
        default_region=actual(parts.region) or partition.region,
        resource=resource,
        account=resource if len(resource) == _ACCOUNT_DIGITS and resource.isdigit() else "",
        bucket="",
        fips=fips,
        dual_stack=dual_stack,
        vpc_endpoint=parts.vpc_endpoint,
        data_plane=plane,
        canonical=canonical,
    )


@lru_cache(maxsize=4096)
def parse_host(name: str) -> AwsHost | None:
    """Return what an AWS host name says; None when it is not AWS's or is a bare suffix."""
    name = _clean(name)
    suffix = _suffix(name)
    left = name.removesuffix(suffix).removesuffix(".")
    if not suffix or not left:
        return None
    s3 = parse_s3(left)
    if s3 is None:
        return _parse_other(name, suffix, left)
    partition = partition_of(suffix=suffix, region=s3.region)
    return AwsHost(
        name=name,
        suffix=suffix,
        partition=partition.name,
        prefix=s3.prefix,
        services=("s3",) if s3.bucket else _S3_SERVICES.get((s3.prefix, bool(s3.resource)), ("s3",)),
        region=s3.region,
        default_region=s3.region or partition.region,
        resource=s3.resource,
        account=s3.account,
        bucket=s3.bucket,
        fips=s3.fips,
        dual_stack=s3.dual_stack,
        vpc_endpoint=s3.vpc_endpoint,
        data_plane=False,
        canonical=f"{s3.canonical}.{partition.suffix}",
    )
