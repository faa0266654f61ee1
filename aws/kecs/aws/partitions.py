"""The partitions of AWS: which suffixes their host names end in, and what a region looks like. Never a service."""

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

ENDPOINT_SUFFIX: Final = "on.aws"
"""Endpoints that services make for their customers: function URLs, dual-stack registries."""

_PSEUDO: Final = {f"{partition.name}-global": partition.region for partition in PARTITIONS}

_REGION_PARTS: Final = (3, 4)  # eu-west-1, us-gov-west-1


def is_region(label: str) -> bool:
    """Tell whether a label is spelled like a region: known ones, those to come, and botocore's aws-global kind."""
    parts = label.split("-")
    if parts[-1] == "global":
        return parts[0] == "aws"
    first = parts[0]
    return (
        len(parts) in _REGION_PARTS and parts[-1].isdigit() and first.isalpha() and (len(first) == 2 or first == "eusc")  # noqa: PLR2004 - a continent or country code
    )


def actual(region: str) -> str:
    """Return the region that one like aws-global stands for, empty where none is known; any other as it is."""
    return _PSEUDO.get(region, "") if region.endswith("-global") else region


def partition_of(*, suffix: str, region: str) -> Partition:
    """Return the partition of a suffix; of the two that share one, the one that the region is spelled for."""
    for partition in PARTITIONS:
        if suffix not in (partition.suffix, partition.dual_stack):
            continue
        if partition.name != "aws-us-gov" or region.startswith(("us-gov", "aws-us-gov")):
            return partition
    # Only on.aws belongs to no partition's endpoint rules: it is the commercial partition's.
    return PARTITIONS[1]
