"""The host names of S3, in all the spellings it has had. Knows the labels before the suffix, nothing else."""

from typing import Final, NamedTuple

from kecs.aws.partitions import actual, is_region

_LABELS: Final = {
    "s3": "s3",
    "s3-accelerate": "s3",
    "s3-external-1": "s3",
    "s3-website": "s3-website",
    "s3-control": "s3-control",
    "s3-accesspoint": "s3-accesspoint",
    "s3-object-lambda": "s3-object-lambda",
    "s3-outposts": "s3-outposts",
    "s3-global": "s3-global",
    "s3express-control": "s3express-control",
}
"""Labels that name S3 whatever follows, to the endpoint prefix they are a spelling of."""

_BEFORE_REGION: Final = (("s3-website-", "s3-website"), ("s3-fips-", "s3"), ("s3-", "s3"))
"""Legacy labels with the region after a hyphen."""

_VPC_KINDS: Final = {"bucket": "s3", "accesspoint": "s3-accesspoint", "control": "s3-control"}
_TAIL_LIMIT: Final = 2
_ACCOUNT_DIGITS: Final = 12


class S3Host(NamedTuple):
    """What an S3 host name says. Empty strings mean that it does not tell."""

    prefix: str
    """The endpoint prefix: s3, s3-website, s3-control, s3-accesspoint, s3-object-lambda, s3-outposts, s3express-…"""
    region: str
    resource: str
    """All that stands before the prefix: a bucket, an access point's alias, an account."""
    account: str
    bucket: str
    fips: bool
    dual_stack: bool
    vpc_endpoint: bool
    canonical: str
    """The labels of the standard spelling, without a suffix."""


def _label(label: str) -> tuple[str, str] | None:
    """Return the endpoint prefix that a label is a spelling of, and the region inside it."""
    if not label.startswith("s3"):
        return None
    plain = label.removesuffix("-fips")
    if plain in _LABELS:
        return _LABELS[plain], "us-east-1" if plain == "s3-external-1" else ""
    if label.startswith("s3express-"):
        return "s3express-" + label.removeprefix("s3express-").removeprefix("fips-"), ""
    for start, prefix in _BEFORE_REGION:
        if label.startswith(start) and is_region(label.removeprefix(start)):
            return prefix, label.removeprefix(start)
    return None


def _tail(labels: list[str]) -> str | None:
    """Return the region of what may follow an S3 label, which is [dualstack] [region]; None for anything else."""
    rest = labels[1:] if labels[:1] == ["dualstack"] else labels
    if not rest:
        return ""
    return actual(rest[0]) if len(rest) == 1 and is_region(rest[0]) else None


def parse_s3(left: str) -> S3Host | None:
    """Return what the labels before an AWS suffix say when they are S3's, else None."""
    labels = left.split(".")
    vpc_endpoint = labels[-1] == "vpce"
    if vpc_endpoint:
        labels = [label for label in labels[:-1] if not label.startswith("vpce-")]
    # From the right: a bucket's own name may hold a label "s3".
    for index in range(len(labels) - 1, max(-1, len(labels) - _TAIL_LIMIT - 2), -1):
        found = _label(labels[index])
        region = None if found is None else _tail(labels[index + 1 :])
        if found is not None and region is not None:
            return _host(
                prefix=found[0], region=region or found[1], labels=labels, index=index, vpc_endpoint=vpc_endpoint
            )
    return None


def _host(*, prefix: str, region: str, labels: list[str], index: int, vpc_endpoint: bool) -> S3Host:
    before = labels[:index]
    if vpc_endpoint and before and before[-1] in _VPC_KINDS:
        prefix = _VPC_KINDS[before.pop()]
    resource = ".".join(before)
    tail = resource[-_ACCOUNT_DIGITS:]
    account = tail if prefix != "s3" and len(tail) == _ACCOUNT_DIGITS and tail.isdigit() else ""
    is_bucket = prefix in ("s3", "s3-website") or (prefix.startswith("s3express-") and prefix != "s3express-control")
    return S3Host(
        prefix=prefix,
        region=region,
        resource=resource,
        account=account,
        bucket=resource if is_bucket else "",
        fips="fips" in labels[index].split("-"),
        dual_stack="dualstack" in labels[index + 1 :],
        vpc_endpoint=vpc_endpoint,
        canonical=".".join(part for part in (resource, prefix, region) if part),
    )
