"""Clients that were given an endpoint URL: the environment mode's way to the emulator."""

from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from emulator_lab import Emulator

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def client(emulator: Emulator, service: str, region: str = "us-east-1", **config: Any) -> Any:
    session = boto3.Session(region_name=region, **KEYS)  # type: ignore[arg-type] # keys are strings
    return session.client(  # type: ignore[call-overload] # any service
        service, endpoint_url=f"http://localhost:{emulator.port}", config=Config(**config)
    )


def test_s3_with_the_bucket_in_the_path(emulator: Emulator, name: str) -> None:
    s3 = client(emulator, "s3", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a key/ä", Body=b"hello")
    assert s3.get_object(Bucket=name, Key="a key/ä")["Body"].read() == b"hello"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=name)["Contents"]] == ["a key/ä"]


def test_a_presigned_url(emulator: Emulator, name: str) -> None:
    s3 = client(emulator, "s3", s3={"addressing_style": "path"}, signature_version="s3v4")
    s3.create_bucket(Bucket=name)
    url = s3.generate_presigned_url("put_object", Params={"Bucket": name, "Key": "key"})
    with urlopen(Request(url, b"signed", method="PUT"), timeout=10) as response:
        assert response.status == 200
    assert s3.get_object(Bucket=name, Key="key")["Body"].read() == b"signed"


def test_a_queues_url_is_the_endpoints(emulator: Emulator, name: str) -> None:
    """Several SDKs send to the URL that they are given: one of AWS would lead them there."""
    sqs = client(emulator, "sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url == f"http://localhost:{emulator.port}/000000000000/{name}"
    sqs.send_message(QueueUrl=url, MessageBody="a job")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "a job"
    form = f"Action=SendMessage&Version=2012-11-05&MessageBody=two&QueueUrl={url}".encode()
    scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
    with urlopen(Request(url, form, {"Authorization": scope}), timeout=10) as response:
        assert b"MessageId" in response.read()


def test_the_region_is_that_of_the_signature(emulator: Emulator, name: str) -> None:
    arn = client(emulator, "sns", "eu-west-1").create_topic(Name=name)["TopicArn"]
    assert arn == f"arn:aws:sns:eu-west-1:000000000000:{name}"


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        pytest.param("dynamodb", "list_tables", id="JSON"),
        pytest.param("sts", "get_caller_identity", id="query"),
        pytest.param("ec2", "describe_vpcs", id="EC2"),
        pytest.param("lambda", "list_functions", id="REST JSON"),
        pytest.param("route53", "list_hosted_zones", id="REST XML"),
        pytest.param("secretsmanager", "list_secrets", id="Secrets Manager"),
        pytest.param("ssm", "describe_parameters", id="Parameter Store"),
        pytest.param("logs", "describe_log_groups", id="logs"),
        pytest.param("elbv2", "describe_load_balancers", id="load balancers"),
        pytest.param("ecs", "list_clusters", id="ECS"),
    ],
)
def test_services_of_every_protocol(emulator: Emulator, service: str, operation: str) -> None:
    answer = getattr(client(emulator, service), operation)()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_what_says_nothing_is_refused(emulator: Emulator) -> None:
    status, _, body = emulator.ask("GET", f"http://localhost:{emulator.port}/bucket/key")
    assert status == 400
    assert b"no signature says what service is meant" in body
