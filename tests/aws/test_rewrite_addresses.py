"""Addresses as AWS spells them, from what backends were seen to say."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.hosts import is_aws_name
from kecs.aws.profiles import PROFILES, Profile
from kecs.aws.rewrite_addresses import Place, address, free, place_of, topic_url
from kecs.aws.rewrite_fields import SHEETS

LOCALSTACK, MINISTACK, SERVER, EMBEDDED = (
    PROFILES[name] for name in ("localstack", "ministack", "moto-server", "embedded")
)
NAMED = Profile(name="named", markers=("localstack.svc", "backend"))


def placed(
    service: str,
    profile: Profile,
    *,
    region: str = "us-east-1",
    host: str = "",
    target: str = "/",
    seen: dict[str, str] | None = None,
    **more: Any,
) -> Place:
    host = host or f"{service}.{region}.amazonaws.com"
    call = Call(service=service, region=region, operation="", protocol=Protocol.JSON, host=host, **more)
    place = place_of(call, profile, ports=frozenset({"4566", "5000"}), target=target)
    place.seen.update(seen or {})
    return place


def spelled(service: str, operation: str, field: str, value: str, profile: Profile, **more: Any) -> str:
    sheet = next(one for one in SHEETS[service] if not one.operations or operation in one.operations)
    return sheet.rules[field](value, placed(service, profile, **more))


@pytest.mark.parametrize(
    ("value", "profile", "more", "expected"),
    [
        (
            "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q",
            LOCALSTACK,
            {},
            "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        ),
        (
            "http://us-east-1.queue.localhost.localstack.cloud:4566/000000000000/q",
            LOCALSTACK,
            {},
            "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        ),
        (
            "http://localhost:4566/queue/us-east-1/000000000000/q.fifo",
            LOCALSTACK,
            {},
            "https://sqs.us-east-1.amazonaws.com/000000000000/q.fifo",
        ),
        ("http://localhost:4566/000000000000/q", MINISTACK, {}, "https://sqs.us-east-1.amazonaws.com/000000000000/q"),
        (
            "http://sqs.us-east-1.amazonaws.com/123456789012/q",
            SERVER,
            {},
            "https://sqs.us-east-1.amazonaws.com/123456789012/q",
        ),
        ("http://10.1.2.3:4566/000000000000/q", MINISTACK, {}, "https://sqs.us-east-1.amazonaws.com/000000000000/q"),
        (
            "http://localhost:4566/000000000000/q",
            MINISTACK,
            {"host": "queue.amazonaws.com"},
            "https://queue.amazonaws.com/000000000000/q",
        ),
        (
            "http://localhost:4566/000000000000/q",
            MINISTACK,
            {"region": "cn-north-1", "host": "sqs.cn-north-1.amazonaws.com.cn"},
            "https://sqs.cn-north-1.amazonaws.com.cn/000000000000/q",
        ),
        ("q", MINISTACK, {}, "q"),
    ],
)
def test_queue_urls(value: str, profile: Profile, more: dict[str, Any], expected: str) -> None:
    assert spelled("sqs", "CreateQueue", "QueueUrl", value, profile, **more) == expected


@pytest.mark.parametrize(
    ("value", "profile", "expected"),
    [
        (
            "http://abc.lambda-url.us-east-1.localhost.localstack.cloud:4566/",
            LOCALSTACK,
            "https://abc.lambda-url.us-east-1.on.aws/",
        ),
        ("https://abc.lambda-url.us-east-1.on.aws", EMBEDDED, "https://abc.lambda-url.us-east-1.on.aws/"),
        ("https://abc.lambda-url.us-east-1.on.aws/", MINISTACK, "https://abc.lambda-url.us-east-1.on.aws/"),
        ("", MINISTACK, ""),
    ],
)
def test_function_urls(value: str, profile: Profile, expected: str) -> None:
    assert spelled("lambda", "GetFunctionUrlConfig", "FunctionUrl", value, profile) == expected


@pytest.mark.parametrize(
    ("value", "profile", "expected"),
    [
        (
            "http://localhost.localstack.cloud:4566/awslambda-us-east-1-tasks/snapshots/1?a=b",
            LOCALSTACK,
            "https://awslambda-us-east-1-tasks.s3.us-east-1.amazonaws.com/snapshots/1?a=b",
        ),
        (
            "http://localhost:4566/_ministack/lambda-code/f?X-Amz-Date=1&X-Amz-Signature=ministack-local-presigned",
            MINISTACK,
            "https://awslambda-us-east-1-tasks.s3.us-east-1.amazonaws.com/snapshots/code/f?X-Amz-Date=1&X-Amz-Signature="
            + hashlib.sha256(b"ministack-local-presigned").hexdigest(),
        ),
        (
            "https://awslambda-us-east-1-tasks.s3.us-east-1.amazonaws.com/a",
            EMBEDDED,
            "https://awslambda-us-east-1-tasks.s3.us-east-1.amazonaws.com/a",
        ),
        (
            "s3://awslambda-us-east-1-tasks.s3-us-east-1.amazonaws.com/f",
            EMBEDDED,
            "s3://awslambda-us-east-1-tasks.s3-us-east-1.amazonaws.com/f",
        ),
    ],
)
def test_code_locations(value: str, profile: Profile, expected: str) -> None:
    assert spelled("lambda", "GetFunction", "Location", value, profile) == expected


@pytest.mark.parametrize(
    ("value", "host", "target", "expected"),
    [
        (
            "http://b.s3.us-east-1.amazonaws.com/b/k",
            "b.s3.us-east-1.amazonaws.com",
            "/a%20b/k?uploadId=1",
            "https://b.s3.us-east-1.amazonaws.com/a%20b%2Fk",
        ),
        (
            "http://b.s3.amazonaws.com/k",
            "s3.us-east-1.amazonaws.com",
            "/b/k?uploadId=1",
            "https://s3.us-east-1.amazonaws.com/b/k",
        ),
        (
            "http://b.s3.localhost.localstack.cloud:4566/k",
            "b.s3-accelerate.amazonaws.com",
            "/k",
            "https://b.s3.us-east-1.amazonaws.com/k",
        ),
        ("http://localhost:4566/k", "elsewhere", "/k", "https://elsewhere/k"),
        (
            "http://b.s3.amazonaws.com/k",
            "ap-123456789012.s3-accesspoint.us-east-1.amazonaws.com",
            "/a/k",
            "https://ap-123456789012.s3-accesspoint.us-east-1.amazonaws.com/a%2Fk",
        ),
    ],
)
def test_locations_of_objects_uploaded_in_parts(value: str, host: str, target: str, expected: str) -> None:
    got = spelled("s3", "CompleteMultipartUpload", "Location", value, LOCALSTACK, host=host, target=target)
    assert got == expected


@pytest.mark.parametrize(
    ("service", "operation", "field", "value", "profile", "seen", "expected"),
    [
        (
            "apigatewayv2",
            "GetApi",
            "apiEndpoint",
            "http://abc.execute-api.localhost:4566",
            MINISTACK,
            {},
            "https://abc.execute-api.us-east-1.amazonaws.com",
        ),
        (
            "apigatewayv2",
            "GetApi",
            "apiEndpoint",
            "ws://abc.execute-api.localhost:4566",
            MINISTACK,
            {},
            "wss://abc.execute-api.us-east-1.amazonaws.com",
        ),
        (
            "apigateway",
            "GetDomainName",
            "regionalDomainName",
            "d-x.execute-api.localhost.localstack.cloud",
            LOCALSTACK,
            {},
            "d-x.execute-api.us-east-1.amazonaws.com",
        ),
        ("apigateway", "GetDomainName", "regionalDomainName", "api.example.com", LOCALSTACK, {}, "api.example.com"),
        (
            "dynamodb",
            "DescribeEndpoints",
            "Address",
            "localhost:4566",
            MINISTACK,
            {},
            "dynamodb.us-east-1.amazonaws.com",
        ),
        (
            "iot",
            "DescribeEndpoint",
            "endpointAddress",
            "abc-ats.iot.us-east-1.localhost:4566",
            MINISTACK,
            {},
            "abc-ats.iot.us-east-1.amazonaws.com",
        ),
        (
            "cognito-idp",
            "",
            "jwks_uri",
            "http://cognito-idp.us-east-1.amazonaws.com/p/.well-known/jwks.json",
            SERVER,
            {},
            "https://cognito-idp.us-east-1.amazonaws.com/p/.well-known/jwks.json",
        ),
        (
            "cognito-idp",
            "",
            "token_endpoint",
            "http://localhost:4566/oauth2/token",
            MINISTACK,
            {},
            "https://cognito-idp.us-east-1.amazonaws.com/oauth2/token",
        ),
        (
            "ecr",
            "CreateRepository",
            "repositoryUri",
            "000000000000.dkr.ecr.us-east-1.localhost.localstack.cloud:4566/r",
            LOCALSTACK,
            {},
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/r",
        ),
        (
            "ecr",
            "GetAuthorizationToken",
            "proxyEndpoint",
            "https://000000000000.dkr.ecr.us-east-1.amazonaws.com",
            MINISTACK,
            {},
            "https://000000000000.dkr.ecr.us-east-1.amazonaws.com",
        ),
        (
            "opensearch",
            "DescribeDomain",
            "Endpoint",
            "d.us-east-1.opensearch.localhost.localstack.cloud:4566",
            LOCALSTACK,
            {"DomainName": "d"},
            "search-d.us-east-1.es.amazonaws.com",
        ),
        (
            "es",
            "DescribeElasticsearchDomain",
            "Endpoint",
            "d.us-east-1.ministack.local:9200",
            MINISTACK,
            {},
            "search-d.us-east-1.es.amazonaws.com",
        ),
        (
            "es",
            "DescribeElasticsearchDomain",
            "Endpoint",
            "http://localhost:9200/_dashboards",
            MINISTACK,
            {"DomainName": "d"},
            "https://search-d.us-east-1.es.amazonaws.com/_dashboards",
        ),
        (
            "es",
            "DescribeElasticsearchDomain",
            "Endpoint",
            "d.us-east-1.es.amazonaws.com",
            SERVER,
            {},
            "d.us-east-1.es.amazonaws.com",
        ),
        (
            "opensearchserverless",
            "BatchGetCollection",
            "collectionEndpoint",
            "http://c.us-east-1.aoss.localhost:4566",
            MINISTACK,
            {},
            "https://c.aoss.us-east-1.amazonaws.com",
        ),
        (
            "rds",
            "DescribeDBInstances",
            "Address",
            "localhost",
            MINISTACK,
            {"DBInstanceIdentifier": "MyDb"},
            "mydb.{hash}.us-east-1.rds.amazonaws.com",
        ),
        (
            "rds",
            "DescribeDBInstances",
            "Address",
            "mydb.c1.us-east-1.rds.amazonaws.com",
            SERVER,
            {},
            "mydb.c1.us-east-1.rds.amazonaws.com",
        ),
        ("rds", "DescribeDBInstances", "Endpoint", "\n  ", MINISTACK, {}, "\n  "),
        (
            "rds",
            "DescribeDBClusters",
            "Endpoint",
            "localhost",
            MINISTACK,
            {"DBClusterIdentifier": "c"},
            "c.cluster-{hash}.us-east-1.rds.amazonaws.com",
        ),
        (
            "rds",
            "DescribeDBClusters",
            "ReaderEndpoint",
            "localhost",
            MINISTACK,
            {"DBClusterIdentifier": "c"},
            "c.cluster-ro-{hash}.us-east-1.rds.amazonaws.com",
        ),
        (
            "redshift",
            "DescribeClusters",
            "Address",
            "localhost.localstack.cloud",
            LOCALSTACK,
            {"ClusterIdentifier": "c"},
            "c.{hash}.us-east-1.redshift.amazonaws.com",
        ),
        (
            "elasticache",
            "DescribeCacheClusters",
            "Address",
            "redis",
            MINISTACK,
            {"CacheClusterId": "c"},
            "c.{hash}.0001.use1.cache.amazonaws.com",
        ),
        (
            "kafka",
            "GetBootstrapBrokers",
            "bootstrapBrokerString",
            "b-1.c.ministack.local:9092,b-2.c.ministack.local",
            MINISTACK,
            {},
            "b-1.cluster.{hash6}.c2.kafka.us-east-1.amazonaws.com:9092,b-2.cluster.{hash6}.c2.kafka.us-east-1.amazonaws.com:9092",
        ),
        (
            "kafka",
            "GetBootstrapBrokers",
            "bootstrapBrokerString",
            "b-1.x.kafka.us-east-1.amazonaws.com:9092",
            SERVER,
            {},
            "b-1.x.kafka.us-east-1.amazonaws.com:9092",
        ),
        (
            "mq",
            "DescribeBroker",
            "consoleURL",
            "https://localhost:15671",
            MINISTACK,
            {"brokerId": "b-1"},
            "https://b-1-1.mq.us-east-1.amazonaws.com:15671",
        ),
        (
            "eks",
            "DescribeCluster",
            "issuer",
            "http://localhost:4566/oidc/id/ABC",
            MINISTACK,
            {},
            "https://oidc.eks.us-east-1.amazonaws.com/id/ABC",
        ),
        (
            "eks",
            "DescribeCluster",
            "issuer",
            "https://oidc.eks.us-east-1.amazonaws.com/id/A",
            SERVER,
            {},
            "https://oidc.eks.us-east-1.amazonaws.com/id/A",
        ),
        (
            "ecs",
            "DiscoverPollEndpoint",
            "endpoint",
            "http://localhost",
            EMBEDDED,
            {},
            "https://ecs-a-1.us-east-1.amazonaws.com",
        ),
        (
            "appsync",
            "GetGraphqlApi",
            "GRAPHQL",
            "http://localhost:4566/graphql",
            EMBEDDED,
            {"apiId": "abc"},
            "https://abc.appsync-api.us-east-1.amazonaws.com/graphql",
        ),
        (
            "appsync",
            "GetGraphqlApi",
            "GRAPHQL",
            "http://graphql.uri",
            EMBEDDED,
            {},
            "https://x.appsync-api.us-east-1.amazonaws.com/graphql",
        ),
        (
            "elbv2",
            "DescribeLoadBalancers",
            "DNSName",
            "lb.elb.localhost.localstack.cloud",
            LOCALSTACK,
            {},
            "lb.us-east-1.elb.amazonaws.com",
        ),
        (
            "cloudfront",
            "GetDistribution",
            "DomainName",
            "abc.cloudfront.localhost.localstack.cloud",
            LOCALSTACK,
            {},
            "abc.cloudfront.net",
        ),
        ("cloudfront", "GetDistribution", "DomainName", "localhost", LOCALSTACK, {}, "localhost"),
        (
            "dsql",
            "GetCluster",
            "endpoint",
            "localhost:5432",
            MINISTACK,
            {"identifier": "abc"},
            "abc.dsql.us-east-1.on.aws",
        ),
    ],
)
def test_fields_that_hold_addresses(  # noqa: PLR0917 - a table
    service: str, operation: str, field: str, value: str, profile: Profile, seen: dict[str, str], expected: str
) -> None:
    place = placed(service, profile)
    expected = expected.format(hash=place.hash(), hash6=place.hash(6))
    assert spelled(service, operation, field, value, profile, seen=seen) == expected


def test_a_cluster_has_an_id_of_its_own_in_its_address() -> None:
    first, second = (
        spelled("eks", "DescribeCluster", "endpoint", "https://localhost:16443", MINISTACK, seen={"name": name})
        for name in ("one", "two")
    )
    assert first != second
    assert first.endswith(".gr7.us-east-1.eks.amazonaws.com")


@pytest.mark.parametrize(
    ("value", "profile", "expected"),
    [
        (
            "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q",
            LOCALSTACK,
            "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        ),
        ("http://localhost:4566/000000000000/q", MINISTACK, "https://sqs.us-east-1.amazonaws.com/000000000000/q"),
        (
            "http://localhost:4566/queue/eu-west-1/000000000000/q",
            LOCALSTACK,
            "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        ),
        ("localhost.localstack.cloud", LOCALSTACK, "amazonaws.com"),
        ("b.s3.localhost.localstack.cloud", LOCALSTACK, "b.s3.amazonaws.com"),
        ("b.s3.eu-west-1.localhost.localstack.cloud:4566", LOCALSTACK, "b.s3.eu-west-1.amazonaws.com"),
        (
            "http://b.s3-website.localhost.localstack.cloud:4566",
            LOCALSTACK,
            "http://b.s3-website-us-east-1.amazonaws.com",
        ),
        (
            "http://b.s3-website.eu-central-1.localhost.localstack.cloud:4566",
            LOCALSTACK,
            "http://b.s3-website.eu-central-1.amazonaws.com",
        ),
        ("https://iam.localhost.localstack.cloud:4566/", LOCALSTACK, "https://iam.amazonaws.com/"),
        ("http://localhost:3000/callback", LOCALSTACK, "http://localhost:3000/callback"),
        ("localhost", LOCALSTACK, "localhost"),
        (
            "see http://localhost:4566/x and http://localhost:3000/y",
            MINISTACK,
            "see https://cloudformation.us-east-1.amazonaws.com/x and http://localhost:3000/y",
        ),
        ("not yet emulated by localstack", LOCALSTACK, "not yet emulated by localstack"),
        (
            "http://localstack.svc:80/a, backend, http://backend:4566/b",
            NAMED,
            "https://cloudformation.us-east-1.amazonaws.com/a, backend, https://cloudformation.us-east-1.amazonaws.com/b",
        ),
        ("notlocalhost:4566 localhost.example.com:4566", MINISTACK, "notlocalhost:4566 localhost.example.com:4566"),
        ("http://localhost:4566", EMBEDDED, "http://localhost:4566"),
        ("http://b.s3.amazonaws.com", LOCALSTACK, "http://b.s3.amazonaws.com"),
    ],
)
def test_texts_that_may_be_customers(value: str, profile: Profile, expected: str) -> None:
    assert free(value, placed("cloudformation", profile)) == expected


def test_what_follows_the_call_where_it_has_no_host_of_awss() -> None:
    place = placed("sqs", MINISTACK, host="proxy.example.com")
    assert address("http://localhost:4566/a", place) == "https://proxy.example.com/a"
    assert place.suffix == "amazonaws.com"
    bare = place_of(Call(service="sqs", region="", operation="", protocol=Protocol.JSON, host=""), MINISTACK)
    assert address("http://localhost:4566/a", bare) == "https://sqs.us-east-1.amazonaws.com/a"


@pytest.mark.parametrize(
    ("value", "profile", "seen", "expected"),
    [
        (
            "http://localhost.localstack.cloud:4566/_aws/sns/SimpleNotificationService-6c.pem",
            LOCALSTACK,
            {},
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-6c.pem",
        ),
        (
            "http://localhost:4566/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:1:t:1",
            MINISTACK,
            {"TopicArn": "arn:aws:sns:eu-west-1:000000000000:t"},
            "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:1:t:1",
        ),
        ("http://localhost:4566", MINISTACK, {"TopicArn": "?"}, "https://sns.us-east-1.amazonaws.com/"),
        ("http://sns.us-east-1.amazonaws.com/a.pem", SERVER, {}, "https://sns.us-east-1.amazonaws.com/a.pem"),
        ("https://sns.us-east-1.amazonaws.com/a.pem", EMBEDDED, {}, "https://sns.us-east-1.amazonaws.com/a.pem"),
        ("https://example.com/_aws/sns/a.pem", LOCALSTACK, {}, "https://example.com/_aws/sns/a.pem"),
        ("no address", LOCALSTACK, {}, "no address"),
    ],
)
def test_urls_in_notifications(value: str, profile: Profile, seen: dict[str, str], expected: str) -> None:
    assert topic_url(value, placed("sqs", profile, seen=seen)) == expected


LABELS = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True), max_size=3)
ALL = (*LOCALSTACK.markers, "ministack.local")


@given(
    LABELS,
    st.sampled_from(["", "s3", "s3-website", "queue", "lambda-url", "cloudfront", "opensearch", "elb", "execute-api"]),
    st.sampled_from(["", "eu-west-1", "cn-north-1"]),
    st.sampled_from(ALL),
    st.sampled_from(["", ":4566", ":1"]),
    st.sampled_from(["", "http://", "https://", "wss://"]),
    st.sampled_from(["", "/", "/000000000000/q", "?x=1", " and more"]),
)
def test_no_marker_is_left_and_what_stands_there_is_awss(  # noqa: PLR0917 - hypothesis'
    labels: list[str], service: str, region: str, marker: str, port: str, scheme: str, rest: str
) -> None:
    place = placed("ec2", Profile(name="x", markers=ALL))
    host = ".".join(part for part in (*labels, service, region, marker) if part)
    got = address(f"{scheme}{host}{port}{rest}", place)
    assert not any(one in got for one in ALL)
    name = got.removeprefix("http://").removeprefix("https://").removeprefix("wss://").removesuffix(rest)
    assert is_aws_name(name) or name.endswith(".cloudfront.net") or name == "cloudfront.net"
    assert address(got, place) == got


@given(st.text(max_size=60))
def test_any_text_has_a_spelling_and_only_one(text: str) -> None:
    for service, sheets in SHEETS.items():
        for sheet in sheets:
            for field, rule in sheet.rules.items():
                place = placed(service, LOCALSTACK, target="/b/k")
                once = rule(text, place)
                assert rule(once, place) == once, field
