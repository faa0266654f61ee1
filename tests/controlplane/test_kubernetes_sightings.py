"""What is seen of a task in what kubelet says of its pod: shapes that real kubelets have told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes_lab import a_launch, an_app, ended, kubelet, running, waiting

from kecs.controlplane.kubernetes import gates
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.networking import host_ports
from kecs.controlplane.kubernetes.nodes import amount, node
from kecs.controlplane.kubernetes.pods import manifest
from kecs.controlplane.kubernetes.sightings import arn_of, next_change, sighting
from kecs.controlplane.records.tasks import ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Sighting

type Json = dict[str, Any]

NOW = datetime(2026, 1, 2, 3, 4, 30, tzinfo=UTC)
CHECKED: Json = {"healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "retries": 2, "timeout": 2}}


def a_pod(*containers: Json, **document: Any) -> Json:
    return manifest(a_launch(containers or [an_app()], **document), config=PodConfig())


def seen(status: Json, *, phase: str = "Running", now: datetime = NOW, **fields: Any) -> ContainerSighting:
    """Return what is seen of an app with this status."""
    (found,) = sighting(kubelet(a_pod(an_app(**fields)), phase=phase, app=status), now=now).containers
    return found


def failed(status: Json, **more: Any) -> str:
    return sighting(kubelet(a_pod(), phase="Pending", status=more, app=status), now=NOW).failure


@pytest.mark.parametrize(
    ("status", "how", "code", "reason"),
    [
        pytest.param(running(), ContainerStatus.RUNNING, None, "", id="runs"),
        pytest.param(waiting(), ContainerStatus.PENDING, None, "", id="waits"),
        pytest.param(ended(0), ContainerStatus.STOPPED, 0, "", id="ended well"),
        pytest.param(ended(3), ContainerStatus.STOPPED, 3, "", id="ended with a code"),
        pytest.param(ended(143), ContainerStatus.STOPPED, 143, "", id="ended by SIGTERM"),
        pytest.param(
            ended(137, "OOMKilled"),
            ContainerStatus.STOPPED,
            137,
            "OutOfMemoryError: Container killed due to memory usage",
            id="out of memory",
        ),
        pytest.param(ended(0, "OOMKilled"), ContainerStatus.STOPPED, 0, "", id="a child was out of memory"),
        pytest.param(ended(137, "ContainerStatusUnknown"), ContainerStatus.STOPPED, None, "", id="was never there"),
        pytest.param(
            ended(128, "StartError", message='exec: "/nope": stat /nope: no such file or directory'),
            ContainerStatus.STOPPED,
            None,
            'CannotStartContainerError: exec: "/nope": stat /nope: no such file or directory',
            id="never began",
        ),
    ],
)
def test_a_container(status: Json, how: ContainerStatus, code: int | None, reason: str) -> None:
    found = seen(status)
    assert (found.name, found.status, found.exit_code, found.reason) == ("app", how, code, reason)


def test_a_running_container_is_known_by_id_digest_and_start() -> None:
    found = seen(running())
    assert found.runtime_id == f"{1:064x}"
    assert found.image_digest == "sha256:" + "ab" * 32
    assert found.started_at == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


def test_a_task_has_address_node_ports_and_times() -> None:
    launch = a_launch([an_app(portMappings=[{"containerPort": 80}])], networkMode="bridge")
    chosen = host_ports(launch, launch.definition.containers, ())
    pod = kubelet(manifest(launch, config=PodConfig(), chosen=chosen), app=running())
    found = sighting(pod, now=NOW)
    assert found.task_arn == launch.task.arn == arn_of(pod)
    assert (found.node, found.address) == ("lab-node", "10.244.0.9")
    assert found.host_ports == chosen
    assert found.pull_started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.pull_stopped_at == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert found.failure == ""
    assert not found.gone


def test_a_new_pod_has_pending_containers() -> None:
    (found,) = sighting(a_pod(), now=NOW).containers
    assert found == ContainerSighting(name="app", status=ContainerStatus.PENDING)


def test_a_pod_that_failed_before_its_containers_has_stopped_ones() -> None:
    pod = kubelet(a_pod(), phase="Failed", status={"reason": "Evicted", "message": "The node was low on memory. "})
    found = sighting(pod, now=NOW)
    assert found.containers[0].status is ContainerStatus.STOPPED
    assert found.failure == "Evicted: The node was low on memory."


NOT_FOUND = 'failed to resolve reference "x": x: not found'
GATE = 'configmap "task-01-gate-0a1b2c3d" not found'


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        pytest.param(waiting(), "", id="being made"),
        pytest.param(waiting("ErrImagePull", NOT_FOUND), f"CannotPullContainerError: {NOT_FOUND}", id="no such image"),
        pytest.param(waiting("ErrImagePull", "i/o timeout"), "", id="a first try that may yet go well"),
        pytest.param(
            waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: i/o timeout'),
            "CannotPullContainerError: ErrImagePull: i/o timeout",
            id="no more tries",
        ),
        pytest.param(
            waiting("ImagePullBackOff", 'Back-off pulling image "x"'),
            'CannotPullContainerError: Back-off pulling image "x"',
            id="an older kubelet's words",
        ),
        pytest.param(waiting("InvalidImageName", "bad"), "CannotPullContainerError: bad", id="no image name"),
        pytest.param(waiting("ErrImageNeverPull", "never"), "CannotPullContainerError: never", id="not there"),
        pytest.param(
            waiting("CreateContainerConfigError", "container has runAsNonRoot"),
            "CannotCreateContainerError: container has runAsNonRoot",
            id="can't be made",
        ),
        pytest.param(waiting("CreateContainerConfigError", GATE), "", id="waits for another container"),
        pytest.param(
            waiting("CreateContainerConfigError", "failed to sync secret cache: timed out"), "", id="kubelet is slow"
        ),
        pytest.param(
            ended(128, "StartError", message="no such file"), "CannotStartContainerError: no such file", id="StartError"
        ),
        pytest.param(waiting("RunContainerError", "bad"), "CannotStartContainerError: bad", id="RunContainerError"),
        pytest.param(ended(1), "", id="an end is no failure to start"),
    ],
)
def test_why_a_task_does_not_start(status: Json, failure: str) -> None:
    assert failed(status) == failure


def test_a_proxy_that_can_not_be_had_is_why_nothing_starts() -> None:
    ours = [{"name": "aws-proxy-init", **ended(4, message="iptables: Permission denied")}]
    found = failed(waiting("PodInitializing"), initContainerStatuses=ours)
    assert found == "ResourceInitializationError: aws-proxy-init ended with 4: iptables: Permission denied"


@pytest.mark.parametrize(
    ("status", "after_s", "health"),
    [
        pytest.param(running(), 1, Health.HEALTHY, id="ready is healthy"),
        pytest.param(running(ready=False), 1, Health.UNKNOWN, id="not yet"),
        pytest.param(running(ready=False), 11.9, Health.UNKNOWN, id="a moment before all tries have failed"),
        pytest.param(running(ready=False), 12, Health.UNHEALTHY, id="all tries have failed"),
        pytest.param(waiting(), 100, Health.UNKNOWN, id="has not begun"),
        pytest.param(ended(1), 100, Health.UNKNOWN, id="has ended"),
    ],
)
def test_health(status: Json, after_s: float, health: Health) -> None:
    began = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert seen(status, now=began + timedelta(seconds=after_s), **CHECKED).health is health


def test_the_start_period_is_added() -> None:
    check: Json = {"healthCheck": {**CHECKED["healthCheck"], "startPeriod": 60}}
    began = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert seen(running(ready=False), now=began + timedelta(seconds=71), **check).health is Health.UNKNOWN
    assert seen(running(ready=False), now=began + timedelta(seconds=72), **check).health is Health.UNHEALTHY


def test_without_a_check_health_is_unknown() -> None:
    assert seen(running()).health is Health.UNKNOWN


def test_somebody_looks_again_when_health_is_overdue() -> None:
    pod = kubelet(a_pod(an_app(**CHECKED)), app=running(ready=False))
    began = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert next_change(pod, began) == began + timedelta(seconds=12)
    assert next_change(pod, began + timedelta(seconds=12)) is None
    assert next_change(kubelet(a_pod(an_app(**CHECKED)), app=running()), began) is None
    assert next_change(a_pod(), began) is None


@pytest.mark.parametrize(
    ("status", "gone"),
    [
        pytest.param({"reason": "NodeLost"}, False, id="its node is silent, nothing is decided"),
        pytest.param({"phase": "Failed", "reason": "NodeShutdown"}, True, id="its node was shut down"),
        pytest.param(
            {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}],
            },
            True,
            id="its node was deleted",
        ),
    ],
)
def test_a_machine_that_is_lost(status: Json, gone: bool) -> None:  # noqa: FBT001 - a column
    found = sighting(kubelet(a_pod(), status=status, app=running()), now=NOW)
    assert found.node_lost
    assert found.gone is gone


def test_a_deleted_pod_tells_how_it_was() -> None:
    found = sighting(kubelet(a_pod(), app=ended(137)), now=NOW, gone=True)
    assert found.gone
    assert found.containers[0].exit_code == 137


def test_a_pod_of_somebody_else_is_no_task() -> None:
    assert arn_of({"metadata": {"name": "x"}}) == ""
    broken = a_pod()
    broken["metadata"]["annotations"]["kecs.io/ecs-containers"] = "no JSON"
    assert sighting(broken, now=NOW).containers == ()


DEPENDING = (
    an_app(essential=False, **CHECKED),
    {"name": "b", "image": "b", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "SUCCESS"}]},
    {"name": "c", "image": "c", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "HEALTHY"}]},
    {"name": "d", "image": "d", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "START"}]},
    {"name": "e", "image": "e", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "COMPLETE"}]},
)


@pytest.mark.parametrize(
    ("status", "due"),
    [
        pytest.param(waiting(), (), id="nothing has begun"),
        pytest.param(running(ready=False), ("d",), id="begun"),
        pytest.param(running(), ("c", "d"), id="healthy"),
        pytest.param(ended(0), ("b", "d", "e"), id="ended well"),
        pytest.param(ended(1), ("d", "e"), id="failed"),
    ],
)
def test_who_may_begin(status: Json, due: tuple[str, ...]) -> None:
    pod = kubelet(a_pod(*DEPENDING), app=status, b=waiting("CreateContainerConfigError", GATE))
    assert gates.due(pod, sighting(pod, now=NOW)) == due


def test_who_has_begun_is_not_let_begin_again() -> None:
    pod = kubelet(a_pod(*DEPENDING), app=ended(0))
    patch = gates.opening(pod, ("b", "d"))
    pod["metadata"]["annotations"] |= patch["metadata"]["annotations"]
    assert gates.opened(pod) == {"b", "d"}
    assert gates.due(pod, sighting(pod, now=NOW)) == ("e",)
    gate = gates.gate(pod, "e")
    assert gate["metadata"]["name"] == pod["spec"]["containers"][4]["envFrom"][0]["configMapRef"]["name"]
    assert gate["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]


def test_an_annotation_that_is_not_ours_opens_nothing() -> None:
    pod = kubelet(a_pod(*DEPENDING), app=ended(0))
    pod["metadata"]["annotations"]["kecs.io/ecs-opened"] = "no JSON"
    assert gates.opened(pod) == frozenset()


def test_a_node() -> None:
    found = node(
        {
            "metadata": {
                "name": "n",
                "labels": {"topology.kubernetes.io/zone": "us-east-1a", "kubernetes.io/arch": "amd64", "rack": "7"},
            },
            "spec": {"unschedulable": True},
            "status": {
                "allocatable": {"cpu": "1500m", "memory": "2000Ki"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )
    assert (found.name, found.cpu, found.memory, found.ready, found.unschedulable) == ("n", 1536, 1, True, True)
    assert found.attributes == {"ecs.availability-zone": "us-east-1a", "ecs.cpu-architecture": "x86_64", "rack": "7"}


@pytest.mark.parametrize(
    ("text", "value"), [("2", 2), ("500m", 0.5), ("1Gi", 2**30), ("1.5k", 1500), ("much", 0), ("1e3x", 0)]
)
def test_an_amount(text: str, value: float) -> None:
    assert amount(text) == value


def test_sightings_are_values() -> None:
    pod = kubelet(a_pod(), app=running())
    assert sighting(pod, now=NOW) == sighting(pod, now=NOW)
    assert isinstance(sighting(pod, now=NOW), Sighting)
