"""Tasks of ECS that are injected: the same unmodified programs, with a role, told who they are."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_lab import SYSTEM, container_names, get, kubectl, wait_for
from ecs_process_lab import Plane, program
from emulator_lab import running as emulating

NAMESPACE = "default-us-east-1"
CALLS = """
import boto3, json, os, signal, sys, urllib.request
def get(url): return json.load(urllib.request.urlopen(url, timeout=20))
signal.signal(15, lambda *_: sys.exit(0))
task = get(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task")
own = get(os.environ["ECS_CONTAINER_METADATA_URI_V4"])
role = get("http://169.254.170.2" + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
s3 = boto3.client("s3")
s3.create_bucket(Bucket="from-a-task")
said = {
    "arn": task["TaskARN"], "family": task["Family"], "names": [one["Name"] for one in task["Containers"]],
    "own": own["Name"], "labels": own["Labels"], "addresses": own["Networks"][0]["IPv4Addresses"],
    "role": role["RoleArn"], "method": boto3.Session().get_credentials().method,
    "account": boto3.client("sts").get_caller_identity()["Account"],
    "buckets": [one["Name"] for one in s3.list_buckets()["Buckets"]],
}
print(json.dumps(said), flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def plane(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:  # noqa: ARG001 - comes first
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    with emulating() as emulator, Plane(tmp_path_factory.mktemp("ecs"), emulator.port, proxy_mode="sidecar") as found:
        found.ecs.create_cluster(clusterName="default")
        yield found
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")


@pytest.mark.parametrize("network", ["awsvpc", "bridge"])
def test_a_task_knows_itself_and_reaches_aws_with_its_role(plane: Plane, network: str) -> None:
    role = "arn:aws:iam::000000000000:role/team/app"
    other = program("import signal; signal.pause()", name="other", stopTimeout=2)
    definition = plane.register(
        program(CALLS, dockerLabels={"team": "shop"}, stopTimeout=5),
        other,
        family="told",
        taskRoleArn=role,
        networkMode=network,
        cpu="512",
        memory="1024",
    )
    more: dict[str, Any] = {}
    if network == "awsvpc":
        more["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    arn = plane.run(definition, **more)
    plane.running(arn)
    name = f"task-{arn.rpartition('/')[2]}"
    pod = get("-n", NAMESPACE, "pod", name)
    assert container_names(pod) == ["aws-proxy-init", "aws-proxy-sidecar", "app", "other"]
    said = json.loads(_line(name))
    assert said["arn"] == arn
    assert (said["family"], said["names"], said["own"]) == ("told", ["app", "other"], "app")
    assert said["labels"]["team"] == "shop"
    assert said["addresses"] == [pod["status"]["podIP"]]
    assert (said["role"], said["method"]) == (role, "container-role")
    assert said["account"] == "000000000000"
    assert "from-a-task" in said["buckets"]
    plane.ecs.stop_task(task=arn)
    task = plane.stopped(arn)
    assert {one["name"]: one["exitCode"] for one in task["containers"]}["app"] == 0
    assert task["stopCode"] == "UserInitiated"


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-n", SYSTEM, "create", "secret", "generic", "more"), id="a Secret beside the root's"),
        pytest.param(("-n", "default", "run", "more", "--image=more"), id="a pod elsewhere"),
    ],
)
def test_the_charts_control_plane_is_kept_to_the_namespaces_of_its_clusters(arguments: tuple[str, ...]) -> None:
    account = f"--as=system:serviceaccount:{SYSTEM}:kecs-controlplane"
    assert "lacks the label kecs.io/ecs-cluster" in kubectl(account, *arguments, "--dry-run=server", fails=True)


@pytest.mark.usefixtures("plane")
def test_the_charts_control_plane_may_what_tasks_need_where_a_cluster_is() -> None:
    kubectl("create", "namespace", "e2e-ecs-cluster")
    try:
        kubectl("label", "namespace", "e2e-ecs-cluster", "kecs.io/ecs-cluster=any")
        account = f"--as=system:serviceaccount:{SYSTEM}:kecs-controlplane"
        kubectl(account, "-n", "e2e-ecs-cluster", "create", "secret", "generic", "more", "--dry-run=server")
    finally:
        kubectl("delete", "namespace", "e2e-ecs-cluster", "--wait=false")


def _line(pod: str) -> str:
    """Wait for what a task's app prints."""

    def lines() -> list[str]:
        return kubectl("-n", NAMESPACE, "logs", pod, "-c", "app").splitlines()

    return wait_for("what the task says", lines)[0]
