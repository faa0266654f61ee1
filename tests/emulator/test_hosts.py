"""Names are cut at an anchored suffix; S3 is spelled path-style; the rest is left to moto's index."""

import pytest

from kecs.emulator.hosts import Place, locate
from kecs.emulator.index import service_of


def place(service: str, host: str, prefix: str = "") -> Place:
    return Place(service=service, asked=host, host=host, prefix=prefix)


S3_EU = "s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("s3.amazonaws.com", place("s3", "s3.amazonaws.com"), id="global"),
        pytest.param("s3.eu-west-1.amazonaws.com", place("s3", S3_EU), id="regional"),
        pytest.param("s3.eu-west-1.amazonaws.com.", place("s3", S3_EU), id="trailing dot"),
        pytest.param("s3-eu-west-1.amazonaws.com", place("s3", S3_EU), id="legacy regional"),
        pytest.param("b.s3-eu-west-1.amazonaws.com", place("s3", S3_EU, "/b"), id="bucket, legacy regional"),
        pytest.param("b.s3.dualstack.eu-west-1.amazonaws.com", place("s3", S3_EU, "/b"), id="dual-stack"),
        pytest.param("b.s3-fips.dualstack.eu-west-1.amazonaws.com", place("s3", S3_EU, "/b"), id="fips dual-stack"),
        pytest.param("b.s3-accelerate.amazonaws.com", place("s3", "s3.amazonaws.com", "/b"), id="accelerate"),
        pytest.param("a.b.s3.eu-west-1.amazonaws.com", place("s3", S3_EU, "/a.b"), id="dotted bucket"),
        pytest.param(
            "www.b.s3.eu-west-1.amazonaws.com", place("s3", S3_EU, "/www.b"), id="bucket that begins with www"
        ),
        pytest.param("x.s3.s3.eu-west-1.amazonaws.com", place("s3", S3_EU, "/x.s3"), id="bucket that ends like S3"),
        pytest.param("sqs.x.s3.eu-west-1.amazonaws.com", place("s3", S3_EU, "/sqs.x"), id="bucket like a service"),
        pytest.param(
            "b.s3.cn-north-1.amazonaws.com.cn", place("s3", "s3.cn-north-1.amazonaws.com", "/b"), id="bucket in China"
        ),
    ],
)
def test_s3_names(host: str, expected: Place) -> None:
    assert locate(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("s3.amazonaws.com.evil.example", id="suffix in the middle"),
        pytest.param("s3.amazonaws.community", id="suffix as a prefix"),
        pytest.param("evilamazonaws.com", id="suffix without a dot before it"),
        pytest.param("amazonaws.com", id="suffix alone"),
        pytest.param("localhost", id="localhost"),
        pytest.param("127.0.0.1", id="address"),
        pytest.param("", id="no host"),
    ],
)
def test_other_names(host: str) -> None:
    assert locate(host) is None


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        pytest.param("dynamodb.us-east-1.amazonaws.com", "/", "dynamodb", id="plain"),
        pytest.param("dynamodb-fips.us-east-1.amazonaws.com", "/", "dynamodb", id="fips"),
        pytest.param("000000000000.ddb.us-east-1.amazonaws.com", "/", "dynamodb", id="account in the name"),
        pytest.param("streams.dynamodb.us-east-1.amazonaws.com", "/", "dynamodbstreams", id="streams"),
        pytest.param("sqs.us-east-1.api.aws", "/", "sqs", id="dual-stack"),
        pytest.param("sqs.cn-north-1.amazonaws.com.cn", "/", "sqs", id="China"),
        pytest.param("queue.amazonaws.com", "/", "sqs", id="legacy SQS"),
        pytest.param("us-east-1.queue.amazonaws.com", "/", "sqs", id="legacy regional SQS"),
        pytest.param("sts.amazonaws.com", "/", "sts", id="global"),
        pytest.param("iam.amazonaws.com", "/", "iam", id="IAM"),
        pytest.param("email.us-east-1.amazonaws.com", "/", "ses", id="SES version 1"),
        pytest.param("email.us-east-1.amazonaws.com", "/v2/email/identities", "sesv2", id="SES version 2"),
        pytest.param("000000000000.s3-control.us-east-1.amazonaws.com", "/", "s3control", id="S3 control"),
        pytest.param("ap-000000000000.s3-accesspoint.us-east-1.amazonaws.com", "/", "s3", id="access point"),
        pytest.param("b.s3-website-us-east-1.amazonaws.com", "/", "s3", id="website, dash"),
        pytest.param("b.s3-website.eu-central-1.amazonaws.com", "/", "s3", id="website, dot"),
        pytest.param("b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", "/", "", id="directory bucket"),
        pytest.param("motoapi.amazonaws.com", "/", "", id="moto's own API"),
        pytest.param("nothing.us-east-1.amazonaws.com", "/", "", id="unknown service"),
        pytest.param("abc.lambda-url.us-east-1.on.aws", "/", "", id="function's own URL"),
    ],
)
def test_services(host: str, path: str, service: str | None) -> None:
    found = locate(host)
    assert (None if found is None else service_of(found, path)) == service


def test_urls_of_china_keep_their_suffix() -> None:
    found = locate("sqs.cn-north-1.amazonaws.com.cn")
    assert found is not None
    assert found.host == "sqs.cn-north-1.amazonaws.com.cn"
