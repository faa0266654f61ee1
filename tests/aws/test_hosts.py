import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.classify import classify
from kecs.aws.forms import form_of
from kecs.aws.head import RequestHead
from kecs.aws.hosts import DATA_PLANES, SUFFIXES, AwsHost, is_aws_name, normalise, parse_host, wants_client_certificate

LABEL = st.text(alphabet=string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=20)


def told(name: str) -> AwsHost:
    host = parse_host(name)
    assert host is not None
    return host


@pytest.mark.parametrize(
    "name",
    [
        "s3.amazonaws.com",
        "S3.AmazonAWS.com",
        "s3.amazonaws.com.",
        "a.b.c.s3.eu-west-1.amazonaws.com",
        "sts.cn-north-1.amazonaws.com.cn",
        "sts.eusc-de-east-1.amazonaws.eu",
        "lambda.us-east-1.api.aws",
        "sqs.cn-north-1.api.amazonwebservices.com.cn",
        "sqs.eusc-de-east-1.api.amazonwebservices.eu",
        "sqs.us-iso-east-1.c2s.ic.gov",
        "sqs.us-isob-east-1.sc2s.sgov.gov",
        "sqs.us-isof-south-1.csp.hci.ic.gov",
        "sqs.eu-isoe-west-1.cloud.adc-e.uk",
        "sqs.us-iso-east-1.api.aws.ic.gov",
        "abc.lambda-url.us-east-1.on.aws",
        "anything.at.all.amazonaws.com",
        "amazonaws.com",
        "xn--bcher-kva.s3.amazonaws.com",
        "under_score.s3.amazonaws.com",
    ],
)
def test_aws_names(name: str) -> None:
    assert is_aws_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "com",
        "example.com",
        "s3.amazonaws.com.evil.com",
        "amazonaws.com.evil.com",
        "evilamazonaws.com",
        "s3-amazonaws.com",
        "s3.amazonaws.co",
        "us-east-1.signin.aws.amazon.com",
        "console.aws.amazon.com",
        "www.amazon.com",
        "d111111abcdef8.cloudfront.net",
        "app.us-east-1.elasticbeanstalk.com",
        "pool.auth.us-east-1.amazoncognito.com",
        "public.ecr.aws",
        "aws",
        "notapi.aws",
        "s3..amazonaws.com",
        ".s3.amazonaws.com",
        "s3.amazonaws.com..",
        "s3.amazonaws.com:443",
        "s 3.amazonaws.com",
        "s3.\u212aamazonaws.com",  # the Kelvin sign is a "k" in lower case
        "s\uff13.amazonaws.com",
        "s3.amazonaws\u3002com",
        "s3\x00.amazonaws.com",
        "x" * 64 + ".amazonaws.com",
        ".".join(["x" * 60] * 4) + ".amazonaws.com",
        "169.254.169.254",
    ],
)
def test_names_that_are_not_aws(name: str) -> None:
    assert not is_aws_name(name)
    assert parse_host(name) is None


@given(st.lists(LABEL, max_size=4), st.sampled_from(SUFFIXES), st.lists(LABEL, min_size=1, max_size=2))
def test_suffixes_are_anchored(before: list[str], suffix: str, after: list[str]) -> None:
    assert is_aws_name(".".join([*before, suffix]))
    assert is_aws_name(".".join([*before, suffix, *after])) == any(
        ".".join(after).endswith(f".{s}") or ".".join([suffix, *after]).endswith(f".{s}") for s in SUFFIXES
    )


@given(LABEL, st.sampled_from(SUFFIXES))
def test_a_suffix_inside_a_label_is_no_suffix(label: str, suffix: str) -> None:
    glued = f"{label}{suffix}"
    assert is_aws_name(glued) == any(glued == s or glued.endswith(f".{s}") for s in SUFFIXES)


@given(st.text(max_size=80))
def test_any_text_is_judged(name: str) -> None:
    host = parse_host(name)
    assert host is None or (is_aws_name(name) and is_aws_name(host.canonical))
    assert normalise(normalise(name)) == normalise(name)


@given(st.lists(LABEL, min_size=1, max_size=5), st.sampled_from(SUFFIXES))
def test_what_stands_before_a_suffix_is_always_understood(labels: list[str], suffix: str) -> None:
    host = parse_host(".".join([*labels, suffix]))
    assert host is not None
    assert is_aws_name(host.canonical)


def test_suffixes_have_no_leading_dot_and_no_doubles() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert not any(suffix.startswith(".") for suffix in SUFFIXES)
    assert "on.aws" in SUFFIXES


@pytest.mark.parametrize(
    ("name", "alpn", "wanted"),
    [
        ("ABC.gr7.us-west-2.eks.amazonaws.com", (), "asks"),
        ("abc.eks-cluster.us-west-2.api.aws", (), "asks"),
        ("x.credentials.iot.us-west-2.amazonaws.com", (), "asks"),
        ("x-ats.iot.us-west-2.amazonaws.com", ("x-amzn-mqtt-ca",), "asks"),
        ("x-ats.iot.us-west-2.amazonaws.com", ("http/1.1",), "does not"),
        ("data-ats.iot.us-west-2.amazonaws.com", (), "does not"),
        ("eks.us-west-2.amazonaws.com", (), "does not"),
        ("fips.eks.us-west-2.amazonaws.com", (), "does not"),
        ("oidc.eks.us-west-2.amazonaws.com", (), "does not"),
        ("sqs.us-west-2.amazonaws.com", ("x-amzn-mqtt-ca",), "does not"),
        ("abc.gr7.us-west-2.eks.example.com", (), "does not"),
    ],
)
def test_who_wants_a_client_certificate(name: str, alpn: tuple[str, ...], wanted: str) -> None:
    assert wants_client_certificate(name, alpn) is (wanted == "asks")


def row(name: str, prefix: str, service: str | None, region: str, resource: str = "", *, canonical: str = "") -> Any:
    return pytest.param(name, prefix, service, region, resource, canonical or name, id=name)


@pytest.mark.parametrize(
    ("name", "prefix", "service", "region", "resource", "canonical"),
    [
        row("dynamodb.us-east-1.amazonaws.com", "dynamodb", "dynamodb", "us-east-1"),
        row("streams.dynamodb.us-east-1.amazonaws.com", "streams.dynamodb", "dynamodbstreams", "us-east-1"),
        row("api.ecr.us-east-1.amazonaws.com", "api.ecr", "ecr", "us-east-1"),
        row("ecr.us-east-1.api.aws", "ecr", "ecr", "us-east-1", canonical="api.ecr.us-east-1.amazonaws.com"),
        row("efs.us-east-1.api.aws", "efs", "efs", "us-east-1", canonical="elasticfilesystem.us-east-1.amazonaws.com"),
        row("lambda.eu-west-1.api.aws", "lambda", "lambda", "eu-west-1", canonical="lambda.eu-west-1.amazonaws.com"),
        row("qbusiness.us-east-1.api.aws", "qbusiness", "qbusiness", "us-east-1"),
        row("sqs-fips.us-east-1.amazonaws.com", "sqs", "sqs", "us-east-1", canonical="sqs.us-east-1.amazonaws.com"),
        row(
            "fips.batch.us-east-1.amazonaws.com",
            "batch",
            "batch",
            "us-east-1",
            canonical="batch.us-east-1.amazonaws.com",
        ),
        row("fips.eks.us-east-1.amazonaws.com", "eks", "eks", "us-east-1", canonical="eks.us-east-1.amazonaws.com"),
        row(
            "runtime-fips.lex.us-east-1.amazonaws.com",
            "runtime.lex",
            "lex-runtime",
            "us-east-1",
            canonical="runtime.lex.us-east-1.amazonaws.com",
        ),
        row("iam.amazonaws.com", "iam", "iam", ""),
        row("iam.us-gov.amazonaws.com", "iam", "iam", ""),
        row("iam.global.api.aws", "iam", "iam", "", canonical="iam.amazonaws.com"),
        row("route53.us-gov.api.aws", "route53", "route53", "", canonical="route53.us-gov.amazonaws.com"),
        row("global.health.amazonaws.com", "health", "health", ""),
        row("budgets.aws-global.api.aws", "budgets", "budgets", "", canonical="budgets.amazonaws.com"),
        row(
            "route53.global.api.amazonwebservices.com.cn",
            "route53",
            "route53",
            "",
            canonical="route53.amazonaws.com.cn",
        ),
        row("budgets-fips.us-west-2.api.aws", "budgets", "budgets", "us-west-2", canonical="budgets.amazonaws.com"),
        row(
            "iam-fips.cn-north-1.amazonaws.com.cn",
            "iam",
            "iam",
            "cn-north-1",
            canonical="iam.cn-north-1.amazonaws.com.cn",
        ),
        row("account.aws-global.api.aws", "account", "account", "", canonical="account.us-east-1.amazonaws.com"),
        row("queue.amazonaws.com", "queue", "sqs", "", canonical="sqs.us-east-1.amazonaws.com"),
        row("eu-west-1.queue.amazonaws.com", "queue", "sqs", "eu-west-1", canonical="sqs.eu-west-1.amazonaws.com"),
        row(
            "eu-west-1.elasticmapreduce.amazonaws.com",
            "elasticmapreduce",
            "emr",
            "eu-west-1",
            canonical="elasticmapreduce.eu-west-1.amazonaws.com",
        ),
        row(
            "vpce-0ab-xy.sqs.us-east-1.vpce.amazonaws.com",
            "sqs",
            "sqs",
            "us-east-1",
            canonical="sqs.us-east-1.amazonaws.com",
        ),
        row(
            "123456789012.ddb.us-east-1.amazonaws.com",
            "ddb",
            "dynamodb",
            "us-east-1",
            "123456789012",
            canonical="dynamodb.us-east-1.amazonaws.com",
        ),
        row(
            "abc.endpoint.events.amazonaws.com",
            "endpoint.events",
            "events",
            "",
            "abc",
            canonical="events.us-east-1.amazonaws.com",
        ),
        row(
            "x-ats.iot.eu-west-1.amazonaws.com",
            "iot",
            "iot-data",
            "eu-west-1",
            "x-ats",
            canonical="data-ats.iot.eu-west-1.amazonaws.com",
        ),
        row("iot.eu-west-1.amazonaws.com", "iot", "iot", "eu-west-1"),
        row("abc.execute-api.us-east-1.amazonaws.com", "execute-api", "execute-api", "us-east-1", "abc"),
        row("abc.lambda-url.us-east-1.on.aws", "lambda-url", "lambda-url", "us-east-1", "abc"),
        row("1.dkr.ecr.us-east-1.amazonaws.com", "dkr.ecr", "ecr-registry", "us-east-1", "1"),
        row("dualstack.lb-1.us-east-1.elb.amazonaws.com", "elb", "load-balancer", "us-east-1", "lb-1"),
        row(
            "abc.lambda-url-fips.us-east-1.on.aws",
            "lambda-url",
            "lambda-url",
            "us-east-1",
            "abc",
            canonical="abc.lambda-url.us-east-1.on.aws",
        ),
        row("lb-1.us-east-1.elb.amazonaws.com", "elb", "load-balancer", "us-east-1", "lb-1"),
        row("nlb-1.elb.us-east-1.amazonaws.com", "elb", "load-balancer", "us-east-1", "nlb-1"),
        row("d-x.us-east-1.es.amazonaws.com", "es", "opensearch-domain", "us-east-1", "d-x"),
        row("es.us-east-1.amazonaws.com", "es", "opensearch", "us-east-1"),
        row(
            "search-d-x.us-east-1.cloudsearch.amazonaws.com",
            "cloudsearch",
            "cloudsearchdomain",
            "us-east-1",
            "search-d-x",
        ),
        row("cloudsearch.us-east-1.amazonaws.com", "cloudsearch", "cloudsearch", "us-east-1"),
        row("abc.appsync-api.us-east-1.amazonaws.com", "appsync-api", "appsync-api", "us-east-1", "abc"),
        row(
            "abc.appsync-realtime-api.us-east-1.amazonaws.com",
            "appsync-realtime-api",
            "appsync-api",
            "us-east-1",
            "abc",
        ),
        row(
            "d-123456789012.d.codeartifact.us-east-1.on.aws",
            "d.codeartifact",
            "codeartifact-repository",
            "us-east-1",
            "d-123456789012",
        ),
        row("greengrass-ats.iot.us-gov-east-1.amazonaws.com", "greengrass-ats.iot", "greengrass", "us-gov-east-1"),
        row("oidc-eks.us-east-1.api.aws", "oidc-eks", "eks", "us-east-1", canonical="oidc.eks.us-east-1.amazonaws.com"),
        row("oidc.eks.us-east-1.amazonaws.com", "oidc.eks", "eks", "us-east-1"),
        row("git-codecommit.us-east-1.amazonaws.com", "git-codecommit", "codecommit", "us-east-1"),
        row("ssmmessages.us-east-1.amazonaws.com", "ssmmessages", "ssm", "us-east-1"),
        row("transcribestreaming.us-east-1.amazonaws.com", "transcribestreaming", "transcribe", "us-east-1"),
        row("123456789012.dkr-ecr.us-east-1.on.aws", "dkr-ecr", "ecr-registry", "us-east-1", "123456789012"),
        row("internal-lb-1.us-east-1.elb.amazonaws.com", "elb", "load-balancer", "us-east-1", "internal-lb-1"),
        row("execute-api.us-east-1.amazonaws.com", "execute-api", "apigatewaymanagementapi", "us-east-1"),
        row(
            "vpce-1-x.execute-api.us-east-1.vpce.amazonaws.com",
            "execute-api",
            "execute-api",
            "us-east-1",
            canonical="execute-api.us-east-1.amazonaws.com",
        ),
        row(
            "abc-vpce-0ab.execute-api.us-east-1.amazonaws.com",
            "execute-api",
            "execute-api",
            "us-east-1",
            "abc",
            canonical="abc.execute-api.us-east-1.amazonaws.com",
        ),
        row("ecs-a-1.us-east-1.amazonaws.com", "ecs-a-1", None, "us-east-1"),
        row("new-service.us-east-9.amazonaws.com", "new-service", None, "us-east-9"),
        row("checkip.amazonaws.com", "checkip", None, ""),
        row("global.amazonaws.com", "global", None, ""),
        row("dualstack.amazonaws.com", "dualstack", None, ""),
    ],
)
def test_hosts_tell_service_region_resource_and_the_standard_spelling(  # noqa: PLR0917 - columns of one table
    name: str, prefix: str, service: str | None, region: str, resource: str, canonical: str
) -> None:
    host = told(name)
    assert (host.prefix, host.region, host.resource) == (prefix, region, resource)
    assert host.services[:1] == (() if service is None else (service,))
    assert host.canonical == canonical
    assert told(canonical).canonical == canonical


@pytest.mark.parametrize("prefix", DATA_PLANES)
def test_what_is_asked_at_customers_own_endpoints_is_no_service_of_aws(prefix: str) -> None:
    host = told(f"abc.{prefix}.eu-west-1.amazonaws.com")
    assert host.data_plane
    assert host.services == (DATA_PLANES[prefix],)
    call = classify(RequestHead(method=b"GET", target=b"/", fields=((b"Host", host.name.encode()),)))
    assert (call.service, call.operation, call.region) == (DATA_PLANES[prefix], "", "eu-west-1")
    assert form_of(call, b"/") is not None


@pytest.mark.parametrize(
    ("name", "partition", "default_region"),
    [
        ("sts.amazonaws.com", "aws", "us-east-1"),
        ("sts.us-gov-east-1.amazonaws.com", "aws-us-gov", "us-gov-east-1"),
        ("iam.us-gov.amazonaws.com", "aws-us-gov", "us-gov-west-1"),
        ("iam.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1"),
        ("route53.amazonaws.com.cn", "aws-cn", "cn-northwest-1"),
        ("abc.lambda-url.eu-west-1.on.aws", "aws", "eu-west-1"),
        ("sqs.us-isob-east-1.sc2s.sgov.gov", "aws-iso-b", "us-isob-east-1"),
    ],
)
def test_partitions(name: str, partition: str, default_region: str) -> None:
    host = told(name)
    assert (host.partition, host.default_region) == (partition, default_region)


def test_variants_and_accounts() -> None:
    host = told("123456789012.streams-ddb-fips.us-east-1.api.aws")
    assert (host.fips, host.dual_stack, host.vpc_endpoint, host.account) == (True, True, False, "123456789012")
    assert told("vpce-1-x.sqs.us-east-1.vpce.amazonaws.com").vpc_endpoint
    assert told("abc.lambda-url.us-east-1.on.aws").data_plane
    assert not told("lambda.us-east-1.amazonaws.com").data_plane


@pytest.mark.parametrize(
    ("name", "services", "bucket", "account"),
    [
        ("b.s3.amazonaws.com", ("s3",), "b", ""),
        ("ap-123456789012.s3-accesspoint.us-west-2.amazonaws.com", ("s3",), "", "123456789012"),
        ("123456789012.s3-control.us-west-2.amazonaws.com", ("s3control",), "", "123456789012"),
        ("s3-outposts.us-west-2.amazonaws.com", ("s3outposts", "s3control"), "", ""),
        ("s3express-control.us-west-2.amazonaws.com", ("s3control", "s3"), "", ""),
    ],
)
def test_s3_hosts(name: str, services: tuple[str, ...], bucket: str, account: str) -> None:
    host = told(name)
    assert (host.services, host.bucket, host.account) == (services, bucket, account)
