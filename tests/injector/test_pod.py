"""A pod that the webhook has injected, run for real from its manifest: unmodified AWS programs in it, and no AWS."""

from collections.abc import Iterator
from typing import Any

import pytest
from cluster_lab import Cluster, cluster

MODE = "kecs.io/aws-proxy-mode"
USER = {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def app(name: str = "app", *command: str, mode: str = "sidecar", **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "example/app:1", "command": list(command or ("sleep", "600"))}
    return {
        "metadata": {"name": name, "annotations": {MODE: mode}},
        "spec": {"securityContext": USER, "containers": [container], **spec},
    }


CALLS = """
import boto3, os
assert os.geteuid() == 1000
assert not [name for name in os.environ if name.startswith(("AWS_ENDPOINT", "AWS_ACCESS", "AWS_SECRET"))]
s3 = boto3.client("s3")
s3.create_bucket(Bucket="made-in-a-pod")
s3.put_object(Bucket="made-in-a-pod", Key="key", Body=b"value")
assert s3.get_object(Bucket="made-in-a-pod", Key="key")["Body"].read() == b"value"
table = boto3.resource("dynamodb").create_table(
    TableName="things",
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    BillingMode="PAY_PER_REQUEST",
)
table.put_item(Item={"id": "1", "number": 7})
print(int(table.get_item(Key={"id": "1"})["Item"]["number"]), boto3.client("sts").get_caller_identity()["Account"])
"""


def test_an_unmodified_program_calls_s3_dynamodb_and_sts(made: Cluster) -> None:
    with made.pod(app("job", "python", "-c", CALLS)) as pod:
        assert pod.running["app"].wait() == 0, pod.running["app"].said() + pod.running["aws-proxy-sidecar"].said()
        assert pod.running["app"].said() == "7 000000000000\n"
