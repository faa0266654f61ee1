"""Signs of AWS: each alone, and what is none."""

from typing import Any

import pytest
from injector_lab import a_pod, facts

from kecs.injector.evidence import find
from kecs.injector.pod import Pod


def signs(container: dict[str, Any] | None = None, **spec: Any) -> tuple[str, ...]:
    pod = a_pod("auto", containers=[{"name": "app", **(container or {})}], **spec)
    return find(Pod(pod), facts())


@pytest.mark.parametrize(
    ("container", "sign"),
    [
        ({"env": [{"name": "AWS_REGION", "value": "x"}]}, "container app: variable AWS_REGION"),
        ({"env": [{"name": "AWS_ROLE_ARN", "valueFrom": {}}]}, "container app: variable AWS_ROLE_ARN"),
        ({"env": [{"name": "QUEUE", "value": "https://sqs.eu-west-1.amazonaws.com/1/q"}]}, "the value of QUEUE"),
        ({"env": [{"name": "ROLE", "value": "arn:aws-cn:iam::1:role/r"}]}, "the value of ROLE is an AWS name"),
        ({"env": [{"name": "BUCKET", "value": "s3://b"}]}, "the value of BUCKET"),
        ({"image": "amazon/aws-cli:2"}, "is called amazon, aws"),
        ({"image": "public.ecr.aws/lambda/python:3.13"}, "is called lambda"),
        ({"image": "registry:5000/team/boto3-job@sha256:0"}, "is called boto3"),
        ({"command": ["aws", "s3", "ls"]}, "its command names AWS"),
        ({"command": ["sh", "-c"], "args": ["sleep 1; aws sts get-caller-identity"]}, "its command names AWS"),
        ({"args": ["--bucket", "s3://b/key"]}, "its command names AWS"),
        ({"command": ["python", "-c", "import boto3"]}, "its command names AWS"),
    ],
)
def test_a_container_that_looks_like_a_user_of_aws(container: dict[str, Any], sign: str) -> None:
    (found,) = signs(container)
    assert sign in found


@pytest.mark.parametrize(
    "container",
    [
        {},
        {"image": "nginx:1.29"},
        {"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/nginx:1"},
        {"image": "public.ecr.aws/nginx/nginx"},
        {"image": "example/jaws:1"},
        {"command": ["laws", "paws"]},
        {"env": [{"name": "LAWS_REGION", "value": "x"}, {"name": "HOST", "value": "amazonaws.com.example.org"}]},
    ],
)
def test_what_is_no_sign(container: dict[str, Any]) -> None:
    assert signs(container) == ()


def test_values_are_never_repeated() -> None:
    assert "hunter2" not in str(signs({"env": [{"name": "URL", "value": "https://u:hunter2@s3.amazonaws.com"}]}))


def test_marks_volumes_and_the_service_account() -> None:
    pod = a_pod(
        "auto",
        annotations={"eks.amazonaws.com/skip-containers": "x", "kecs.io/aws-proxy-debug": "false"},
        volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com"}}]}}],
    )
    pod["metadata"]["labels"] = {"ecs.amazonaws.com/task": "1"}
    found = find(Pod(pod), facts(service_account_annotations={"eks.amazonaws.com/role-arn": "arn"}))
    assert found == (
        "pod annotation eks.amazonaws.com/skip-containers",
        "service account annotation eks.amazonaws.com/role-arn",
        "pod label ecs.amazonaws.com/task",
        "pod annotation kecs.io/aws-proxy-debug",
        "volume t: a token for sts.amazonaws.com",
    )


def test_volumes_of_odd_shapes_are_no_sign() -> None:
    odd: list[dict[str, Any]] = [
        {"name": "a", "projected": None},
        {"name": "b", "projected": {"sources": None}},
        {"name": "c", "projected": {"sources": [None, {"serviceAccountToken": 1}]}},
    ]
    assert signs(volumes=odd) == ()
