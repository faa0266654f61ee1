"""From an empty cluster to unmodified programs that work, and back. Cases run in this order."""

import pytest
from e2e_lab import DEPLOYMENTS, SYSTEM, Space, container_names, get, kubectl, python, run

pytestmark = pytest.mark.usefixtures("installed")

CALLS = """
import boto3, sys
s3 = boto3.client("s3")
s3.create_bucket(Bucket="NAME")
s3.put_object(Bucket="NAME", Key="key", Body=b"hello from S3")
print(s3.get_object(Bucket="NAME", Key="key")["Body"].read().decode())
print(boto3.client("sts").get_caller_identity()["Account"])
print(boto3.client("sqs").create_queue(QueueName="NAME")["QueueUrl"])
"""


def test_everything_of_it_is_available() -> None:
    for name in DEPLOYMENTS:
        Space(SYSTEM).rolled_out(name)


def test_an_unmodified_boto3_job_completes(space: Space) -> None:
    space.job("plain", python(CALLS.replace("NAME", "plain")))
    log = space.completed("plain")
    assert "hello from S3" in log
    assert "000000000000" in log
    assert "https://sqs.us-east-1.amazonaws.com/000000000000/plain" in log


def test_a_pod_with_disabled_mode_is_untouched(space: Space) -> None:
    space.pod("disabled", python("print('ran')"), mode="disabled")
    assert "ran" in space.succeeded("disabled")
    assert list(container_names(get("-n", space.name, "pod", "disabled"))) == ["app"]


def test_uninstall_leaves_nothing(space: Space) -> None:
    run("helm", "uninstall", "kecs", "-n", SYSTEM, "--wait", timeout_s=300)
    kinds = "all,secrets,configmaps,leases,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets"
    left = [
        f"{one['kind']}/{one['metadata']['name']}"
        for one in get("-n", SYSTEM, kinds)["items"]
        if one["metadata"]["name"] not in {"kube-root-ca.crt", "default"}
    ]
    assert left == []
    cluster_wide = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings"
    names = [one["metadata"]["name"] for one in get(cluster_wide)["items"]]
    assert [name for name in names if name.startswith("kecs")] == []
    space.pod("after", python("print('ran')"))
    assert "ran" in space.succeeded("after")
    kubectl("delete", "namespace", SYSTEM, "--wait=true")
