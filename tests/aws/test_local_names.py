"""Names of a gateway: what they ask for, and how AWS's addresses are spelled as them."""

from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.hosts import is_aws_name, parse_host
from kecs.aws.local_names import Asked, Base, asked, base_of, is_local_name, name_for, spelled, standard_name

LOCALSTACK = "localhost.localstack.cloud"
ON_AWS = "x.lambda-url.eu-west-1.on.aws"
HERE = base_of("localhost:4566", secure=False)
COMMON = (
    *("s3", "sqs", "sns", "dynamodb", "sts", "iam", "lambda", "logs", "ssm", "secretsmanager", "kinesis", "cloudwatch"),
    *("ec2", "elbv2", "elb", "ecs", "ecr", "eks", "rds", "route53", "cloudformation", "stepfunctions", "events"),
    *("apigateway", "cognito-idp", "kms", "acm", "firehose", "ses", "sesv2", "s3control", "glue", "athena"),
    *("dynamodbstreams", "opensearch", "elasticache", "autoscaling", "cloudfront", "iot-data", "servicediscovery"),
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", Asked(name="", labels="")),
        ("127.0.0.1", Asked(name="", labels="")),
        ("kecs-gateway.kecs-system.svc.cluster.local", Asked(name="", labels="")),
        ("bucket.localhost", Asked(name="", labels="bucket")),
        ("dotted.bucket.localhost", Asked(name="", labels="dotted.bucket")),
        (f"bucket.s3.{LOCALSTACK}", Asked(name="bucket.s3.amazonaws.com", labels="bucket.s3")),
        (f"b.s3.eu-west-1.{LOCALSTACK}", Asked(name="b.s3.eu-west-1.amazonaws.com", labels="b.s3.eu-west-1")),
        (f"sqs.eu-west-1.{LOCALSTACK}", Asked(name="sqs.eu-west-1.amazonaws.com", labels="sqs.eu-west-1")),
        (f"x.execute-api.{LOCALSTACK}", Asked(name="x.execute-api.amazonaws.com", labels="x.execute-api")),
        (
            f"x.lambda-url.us-east-1.{LOCALSTACK}",
            Asked(name="x.lambda-url.us-east-1.on.aws", labels="x.lambda-url.us-east-1"),
        ),
        (f"d.us-east-1.opensearch.{LOCALSTACK}", Asked(name="", labels="d.us-east-1.opensearch", foreign=True)),
        ("S3.Eu-West-1.Amazonaws.com.", Asked(name="s3.eu-west-1.amazonaws.com", labels="")),
        ("", Asked(name="", labels="")),
        ("example.com", Asked(name="", labels="")),
    ],
)
def test_what_a_host_asks_for(host: str, expected: Asked) -> None:
    assert asked(host) == expected


def _endpoint(service: str, region: str) -> str:
    session = botocore.session.get_session()
    client = session.create_client(service, region_name=region, config=Config(signature_version=UNSIGNED))
    return urlsplit(client.meta.endpoint_url).hostname or ""


@pytest.mark.parametrize("service", COMMON)
def test_services_have_the_names_botocore_asks_them_by(service: str) -> None:
    assert standard_name(service, "eu-west-1") == _endpoint(service, "eu-west-1")


def test_every_service_is_found_again_by_its_name() -> None:
    for service in botocore.session.get_session().get_available_services():
        name = standard_name(service, "eu-west-1")
        if not name:
            continue
        host = parse_host(name)
        assert host is not None
        assert service in host.services, (service, name)


def test_other_partitions_have_other_suffixes() -> None:
    assert standard_name("sqs", "cn-north-1") == "sqs.cn-north-1.amazonaws.com.cn"
    assert standard_name("nobody", "eu-west-1") == ""


def _call(service: str, region: str = "eu-west-1") -> Call:
    return Call(service=service, region=region, operation="", protocol=Protocol.JSON, host="localhost")


def test_labels_that_name_no_service_are_a_bucket_or_an_account() -> None:
    assert name_for(_call("s3"), "bucket") == "bucket.s3.eu-west-1.amazonaws.com"
    assert name_for(_call("s3", region=""), "") == "s3.us-east-1.amazonaws.com"
    assert name_for(_call("s3control"), "000000000000") == "000000000000.s3-control.eu-west-1.amazonaws.com"
    assert name_for(_call("sqs"), "anything") == "sqs.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("field", "secure", "expected"),
    [
        ("localhost:4566", False, Base(scheme="http", host="localhost", port="4566")),
        ("bucket.localhost:4566", True, Base(scheme="https", host="localhost", port="4566")),
        (f"b.s3.{LOCALSTACK}", False, Base(scheme="http", host=LOCALSTACK, port="")),
        ("[::1]:4566", False, Base(scheme="http", host="[::1]", port="4566")),
        ("kecs-gateway:4566", False, Base(scheme="http", host="kecs-gateway", port="4566")),
        ("localhost:x", False, Base(scheme="http", host="localhost", port="")),
        ("", False, Base(scheme="http", host="localhost", port="")),
    ],
)
def test_how_a_client_reached_the_gateway(field: str, *, secure: bool, expected: Base) -> None:
    assert base_of(field, secure=secure) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/000000000000/q", "http://localhost:4566/000000000000/q"),
        ("https://b.s3.eu-west-1.amazonaws.com/k%20x?a=b", "http://localhost:4566/b/k%20x?a=b"),
        ("https://s3.eu-west-1.amazonaws.com/b/k", "http://localhost:4566/b/k"),
        ("https://x.execute-api.eu-west-1.amazonaws.com", f"http://x.execute-api.eu-west-1.{LOCALSTACK}:4566"),
        ("wss://x.execute-api.eu-west-1.amazonaws.com/p", f"ws://x.execute-api.eu-west-1.{LOCALSTACK}:4566/p"),
        ("https://x.lambda-url.us-east-1.on.aws/", f"http://x.lambda-url.us-east-1.{LOCALSTACK}:4566/"),
        ("lb-1.us-east-1.elb.amazonaws.com", f"lb-1.us-east-1.elb.{LOCALSTACK}"),
        ("000000000000.dkr.ecr.us-east-1.amazonaws.com/r", f"000000000000.dkr.ecr.us-east-1.{LOCALSTACK}:4566/r"),
        ("dynamodb.us-east-1.amazonaws.com", "localhost:4566"),
        ("https://example.com/amazonaws.com", "https://example.com/amazonaws.com"),
        ("someone@s3.amazonaws.com", "someone@s3.amazonaws.com"),
        ("amazonaws.com", "amazonaws.com"),
        ("", ""),
    ],
)
def test_how_addresses_of_aws_are_spelled_for_a_client_on_the_machine(text: str, expected: str) -> None:
    assert spelled(text, HERE) == expected


def test_a_client_elsewhere_is_told_only_what_leads_there() -> None:
    base = base_of("kecs-gateway.kecs-system:4566", secure=False)
    assert spelled("https://sqs.eu-west-1.amazonaws.com/0/q", base) == "http://kecs-gateway.kecs-system:4566/0/q"
    api = "https://x.execute-api.eu-west-1.amazonaws.com"
    assert spelled(api, base) == api


def test_an_address_that_was_told_asks_for_what_it_stood_for() -> None:
    for name in (
        "x.execute-api.eu-west-1.amazonaws.com",
        "x.lambda-url.eu-west-1.on.aws",
        "n-1.eu-west-1.elb.amazonaws.com",
    ):
        told = spelled(f"https://{name}", HERE)
        assert asked(urlsplit(told).hostname or "").name == name


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    found = asked(text)
    assert not found.name or is_aws_name(found.name)
    base_of(text, secure=False)
    assert isinstance(spelled(text, HERE), str)


@pytest.mark.parametrize(
    ("name", "local"),
    [("localhost", True), ("a.localhost", True), (LOCALSTACK, True), ("plane", False), ("x.plane", False), ("", False)],
)
def test_which_names_are_the_gateways(name: str, *, local: bool) -> None:
    assert is_local_name(name) is local
    assert is_local_name("x.plane", ("plane",))
