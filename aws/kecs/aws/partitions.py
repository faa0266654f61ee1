"""The partitions of AWS: which suffixes their host names end in, and what a region looks like. Never a service."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition, and the suffixes of its service hosts."""

    name: str
    suffix: str
    dual_stack: str
    """The suffix of hosts that answer on IPv6 too. Newer services have their only hosts there."""
    region: str
    """What a host without a region means."""


PARTITIONS: Final = (
    Partition(
        name="aws-us-gov",
        suffix="amazonaws.com",
        dual_stack="api.aws",
        region="us-gov-west-1",
    ),
    Partition(
        name="aws",
        suffix="amazonaws.com",
        dual_stack="api.aws",
        region="us-east-1",
    ),
    Partition(
        name="aws-cn",
        suffix="amazonaws.com.cn",
        dual_stack="api.amazonwebservices.com.cn",
        region="cn-northwest-1",
    ),
    Partition(
        name="aws-eusc",
        suffix="amazonaws.eu",
        dual_stack="api.amazonwebservices.eu",
        region="eusc-de-east-1",
    ),
    Partition(
        name="aws-iso",
        suffix="c2s.ic.gov",
        dual_stack="api.aws.ic.gov",
        region="us-iso-east-1",
    ),
    Partition(
        name="aws-iso-b",
        suffix="sc2s.sgov.gov",
        dual_stack="api.aws.scloud",
        region="us-isob-east-1",
    ),
    Partition(
        name="aws-iso-e",
        suffix="cloud.adc-e.uk",
        dual_stack="api.cloud-aws.adc-e.uk",
        region="eu-isoe-west-1",
    ),
    Partition(
        name="aws-iso-f",
        suffix="csp.hci.ic.gov",
        dual_stack="api.aws.hci.ic.gov",
        region="us-isof-south-1",
    ),
)

_GOVERNMENT, _COMMERCIAL, *_ = PARTITIONS

ENDPOINT_SUFFIX: Final = "on.aws"
"""Endpoints that services make for their customers: function URLs, dual-stack registries."""

_PSEUDO: Final = {f"{partition.name}-global": partition.region for partition in PARTITIONS}

_BY_PLACE: Final = {
    partition.region.rpartition("-")[0].rpartition("-")[0].removesuffix("-de"): partition for partition in PARTITIONS
}
"""By what stands before the direction: us-gov, us-isob, cn; of eusc the country does not matter."""

_REGION: Final = re.compile(r"(?:[a-z]{2}|eusc)(?:-[^-]*){1,2}-[0-9]+|aws-(?:.*-)?global")
"""eu-west-1, us-gov-west-1, eusc-de-east-1; a continent or country comes first."""

_BY_SUFFIX: Final = {
    suffix: partition
    for partition in reversed(PARTITIONS)
    for suffix in (partition.suffix, partition.dual_stack)
    if partition.name != "aws-us-gov"
}


def is_region(label: str) -> bool:
    """Tell whether a label is spelled like a region: known ones, those to come, and botocore's aws-global kind."""
    return _REGION.fullmatch(label) is not None


def actual(region: str) -> str:
    """Return the region that one like aws-global stands for, empty where none is known; any other as it is."""
    return _PSEUDO.get(region, "") if region.endswith("-global") else region


def of_region(region: str) -> Partition:
    """Return the partition that a region is spelled for: us-gov-west-1, cn-north-1, eusc-de-east-1; else the first."""
    place = region.rpartition("-")[0].rpartition("-")[0]
    return _BY_PLACE.get(place) or _BY_PLACE.get(place.partition("-")[0], _COMMERCIAL)


def partition_of(*, suffix: str, region: str) -> Partition:
    """Return the partition of a suffix; of the two that share one, the one that the region is spelled for."""
    # Only on.aws belongs to no partition's endpoint rules: it is the commercial partition's.
    found = _BY_SUFFIX.get(suffix, _COMMERCIAL)
    return (
        _GOVERNMENT
        if found is _COMMERCIAL and region.startswith(("us-gov", "aws-us-gov")) and suffix in _BY_SUFFIX
        else found
    )
