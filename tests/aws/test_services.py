import pytest

from kecs.aws import services
from kecs.aws.call import Call, Protocol


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("DynamoDB_20120810", ("dynamodb",)),
        ("AmazonEC2ContainerServiceV20141113", ("ecs",)),
        ("AmazonEC2ContainerServiceV20301231", ("ecs",)),
        ("Timestream_20181101", ("timestream-query", "timestream-write")),
        ("AmazonSQS", ("sqs",)),
        ("", ()),
        ("Nobody_1", ()),
    ],
)
def test_target_prefixes(prefix: str, expected: tuple[str, ...]) -> None:
    assert services.by_target(prefix) == expected


@pytest.mark.parametrize(
    ("name", "first", "others"),
    [
        ("elasticloadbalancing", "elbv2", {"elb"}),
        ("ses", "ses", {"sesv2", "pinpoint-email", "mailmanager"}),
        ("s3", "s3", {"s3control"}),
        ("s3express", "s3", {"s3control"}),
        ("rds", "rds", {"docdb", "neptune"}),
        ("dynamodb", "dynamodb", {"dynamodbstreams"}),
        ("monitoring", "cloudwatch", set()),
    ],
)
def test_signing_names(name: str, first: str, others: set[str]) -> None:
    found = services.by_signing_name(name)
    assert found[0] == first
    assert {*found[1:]} == others
    assert services.by_signing_name("nobody") == ()


def test_actions_are_told_apart_by_version_and_known_without_it() -> None:
    assert services.by_action("DescribeLoadBalancers", "2015-12-01") == ("elbv2",)
    assert services.by_action("DescribeLoadBalancers", "2012-06-01") == ("elb",)
    assert services.by_action("DescribeListeners", "") == ("elbv2",)
    assert {*services.by_action("DescribeLoadBalancers", "")} == {"elbv2", "elb", "autoscaling"}
    assert services.by_action("SendMessage", "2012-11-05") == ("sqs",)
    assert services.by_action("SendMessage", "2009-02-01") == ("sqs",)
    assert services.by_action("Nothing", "2009-02-01") == ()


@pytest.mark.parametrize(
    ("service", "usual", "query", "version", "signing"),
    [
        ("ecs", Protocol.JSON, None, "1.1", "ecs"),
        ("dynamodb", Protocol.JSON, None, "1.0", "dynamodb"),
        ("sqs", Protocol.JSON, Protocol.QUERY, "1.0", "sqs"),
        ("cloudwatch", Protocol.JSON, Protocol.QUERY, "1.0", "monitoring"),
        ("elbv2", Protocol.QUERY, Protocol.QUERY, "1.0", "elasticloadbalancing"),
        ("ec2", Protocol.EC2, Protocol.EC2, "1.0", "ec2"),
        ("s3", Protocol.REST_XML, None, "1.0", "s3"),
        ("lambda", Protocol.REST_JSON, None, "1.0", "lambda"),
        ("cloudwatchomni", Protocol.CBOR, None, "1.0", "cloudwatch"),
        ("nobody", None, None, "1.0", "nobody"),
    ],
)
def test_what_services_speak(
    service: str, usual: Protocol | None, query: Protocol | None, version: str, signing: str
) -> None:
    assert services.protocol(service) == usual
    assert services.query_protocol(service) == query
    assert services.json_version(service) == version
    assert services.signing_name(service) == signing


def test_ecs_and_elbv2() -> None:
    calls = {
        name: Call(service=name, region="", operation="", protocol=Protocol.JSON, host="")
        for name in ("ecs", "elbv2", "elb")
    }
    assert [name for name, call in calls.items() if services.is_ecs(call)] == ["ecs"]
    assert [name for name, call in calls.items() if services.is_elbv2(call)] == ["elbv2"]
