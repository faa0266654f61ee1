from typing import Any

import pytest

from kecs.aws.s3_hosts import parse_s3


def row(left: str, canonical: str, bucket: str = "", region: str = "", **more: Any) -> Any:
    return pytest.param(left, canonical, bucket, region, more, id=left)


@pytest.mark.parametrize(
    ("left", "canonical", "bucket", "region", "more"),
    [
        row("s3", "s3"),
        row("b.s3", "b.s3", "b"),
        row("a.b.s3.eu-west-1", "a.b.s3.eu-west-1", "a.b", "eu-west-1"),
        row("s3.eu-west-1", "s3.eu-west-1", "", "eu-west-1"),
        row("s3-eu-west-1", "s3.eu-west-1", "", "eu-west-1"),
        row("b.s3-eu-west-1", "b.s3.eu-west-1", "b", "eu-west-1"),
        row("b.s3-external-1", "b.s3.us-east-1", "b", "us-east-1"),
        row("b.s3.dualstack.eu-west-1", "b.s3.eu-west-1", "b", "eu-west-1", dual_stack=True),
        row("b.s3-accelerate", "b.s3", "b"),
        row("b.s3-accelerate.dualstack", "b.s3", "b", dual_stack=True),
        row("b.s3-fips.us-gov-west-1", "b.s3.us-gov-west-1", "b", "us-gov-west-1", fips=True),
        row("b.s3-fips-us-gov-west-1", "b.s3.us-gov-west-1", "b", "us-gov-west-1", fips=True),
        row("b.s3-fips.dualstack.us-west-2", "b.s3.us-west-2", "b", "us-west-2", fips=True, dual_stack=True),
        row("b.s3-website-eu-west-1", "b.s3-website.eu-west-1", "b", "eu-west-1"),
        row("b.s3-website.eu-west-1", "b.s3-website.eu-west-1", "b", "eu-west-1"),
        row("us-east-1.s3.eu-west-1", "us-east-1.s3.eu-west-1", "us-east-1", "eu-west-1"),
        row("us-east-1.s3", "us-east-1.s3", "us-east-1"),
        row("s3.s3.eu-west-1", "s3.s3.eu-west-1", "s3", "eu-west-1"),
        row("a.s3.b.s3", "a.s3.b.s3", "a.s3.b"),
        row("dualstack.s3", "dualstack.s3", "dualstack"),
        row("my-fips.s3", "my-fips.s3", "my-fips"),
        row(
            "ap-123456789012.s3-accesspoint.eu-west-1",
            "ap-123456789012.s3-accesspoint.eu-west-1",
            "",
            "eu-west-1",
            account="123456789012",
        ),
        row("m.accesspoint.s3-global", "m.accesspoint.s3-global"),
        row(
            "123456789012.s3-control.dualstack.eu-west-1",
            "123456789012.s3-control.eu-west-1",
            "",
            "eu-west-1",
            account="123456789012",
            dual_stack=True,
        ),
        row("b--x-s3.s3express-use1-az4.us-east-1", "b--x-s3.s3express-use1-az4.us-east-1", "b--x-s3", "us-east-1"),
        row(
            "b--x-s3.s3express-fips-use1-az4.dualstack.us-east-1",
            "b--x-s3.s3express-use1-az4.us-east-1",
            "b--x-s3",
            "us-east-1",
            fips=True,
            dual_stack=True,
        ),
        row("s3express-control.us-east-1", "s3express-control.us-east-1", "", "us-east-1"),
        row("b.bucket.vpce-1-x.s3.us-east-1.vpce", "b.s3.us-east-1", "b", "us-east-1", vpc_endpoint=True),
        row("bucket.vpce-1-x.s3.us-east-1.vpce", "s3.us-east-1", "", "us-east-1", vpc_endpoint=True),
        row("1.control.vpce-1-x.s3.us-east-1.vpce", "1.s3-control.us-east-1", "", "us-east-1", vpc_endpoint=True),
        row("vpce-1-x.s3.us-east-1.vpce", "s3.us-east-1", "", "us-east-1", vpc_endpoint=True),
    ],
)
def test_spellings(left: str, canonical: str, bucket: str, region: str, more: dict[str, Any]) -> None:
    host = parse_s3(left)
    assert host is not None
    assert (host.canonical, host.bucket, host.region) == (canonical, bucket, region)
    for name in ("account", "fips", "dual_stack", "vpc_endpoint"):
        assert getattr(host, name) == more.get(name, "" if name == "account" else False)


@pytest.mark.parametrize(
    "left",
    [
        "sqs",
        "sqs.us-east-1",
        "s3.sqs",
        "s3.sqs.us-east-1",
        "s3tables.us-east-1",
        "s3vectors.us-east-1",
        "s3-unknown.us-east-1",
        "s3.us-east-1.eu-west-1",
        "s3.dualstack.us-east-1.x",
        "a.b.c.d",
        "vpce",
        "vpce-1-x.vpce",
        "",
    ],
)
def test_labels_of_others(left: str) -> None:
    assert parse_s3(left) is None
