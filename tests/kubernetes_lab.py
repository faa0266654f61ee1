"""Tasks for tests of the kubernetes runtime: launches from a few words, and what kubelet says of their pods.

launch = a_launch([{"name": "app", "image": "busybox", "memory": 64}], networkMode="awsvpc")
pod = manifest(launch, config=PodConfig())
kubelet(pod, app=running())                        # the pod with a status
"""

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import kubernetes_validate
from ecs_lab import FakeIds

from kecs.controlplane.definitions_document import normalised
from kecs.controlplane.records import Cluster, Service, TaskDefinition
from kecs.controlplane.records.tasks import Task
from kecs.controlplane.runtime import Launch
from kecs.controlplane.task_making import TaskWish, new_task

type Json = dict[str, Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STEM = "arn:aws:ecs:us-east-1:000000000000"
VERSIONS = ("1.34", "1.29")


def a_definition(containers: Sequence[Mapping[str, Any]], **document: Any) -> TaskDefinition:
    """Make a revision of family `web` from what a client would have said."""
    said = normalised({"family": "web", "containerDefinitions": [dict(one) for one in containers], **document})
    return TaskDefinition(
        arn=f"{STEM}:task-definition/web:7", family="web", revision=7, document=said, registered_at=NOW
    )


def a_launch(
    containers: Sequence[Mapping[str, Any]],
    *,
    wish: TaskWish | None = None,
    cluster: str = "shop",
    service: Service | None = None,
    seed: int = 0,
    **document: Any,
) -> Launch:
    """Make a task that is to run."""
    definition = a_definition(containers, **document)
    found = Cluster(arn=f"{STEM}:cluster/{cluster}", name=cluster, created_at=NOW)
    task = new_task(cluster=found, definition=definition, wish=wish or TaskWish(), now=NOW, ids=FakeIds(seed * 1000))
    return Launch(task=task, definition=definition, cluster=found, service=service)


def an_app(**more: Any) -> Json:
    """Make a container definition."""
    return {"name": "app", "image": "busybox:1", "memory": 64, **more}


def valid(pod: Json, version: str = VERSIONS[0]) -> None:
    """Fail where Kubernetes' schema refuses a pod."""
    kubernetes_validate.validate(pod, version, strict=True)


def running(*, ready: bool = True, at: str = "2026-01-02T03:04:06Z") -> Json:
    """Say that a container runs."""
    return {"state": {"running": {"startedAt": at}}, "ready": ready}


def waiting(reason: str = "ContainerCreating", message: str = "") -> Json:
    """Say that a container waits."""
    return {"state": {"waiting": {"reason": reason, **({"message": message} if message else {})}}, "ready": False}


def ended(code: int, reason: str = "", *, message: str = "", at: str = "2026-01-02T03:05:00Z") -> Json:
    """Say that a container has ended."""
    why = reason or ("Error" if code else "Completed")
    state: Json = {"exitCode": code, "reason": why, "startedAt": "2026-01-02T03:04:06Z", "finishedAt": at}
    return {"state": {"terminated": state | ({"message": message} if message else {})}, "ready": False}


def kubelet(pod: Json, *, phase: str = "Running", status: Mapping[str, Any] | None = None, **containers: Json) -> Json:
    """Return a pod as kubelet reports it: containers by their names in the pod, `_` for `-`."""
    found = copy.deepcopy(pod)
    found["metadata"].setdefault("uid", f"uid-of-{pod['metadata']['name']}")
    found["spec"]["nodeName"] = "lab-node"
    found["status"] = {
        "phase": phase,
        "podIP": "10.244.0.9",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}],
        "containerStatuses": [
            {
                "name": name.replace("_", "-"),
                "image": "busybox:1",
                "imageID": "docker.io/library/busybox@sha256:" + "ab" * 32,
                "containerID": f"containerd://{index:064x}",
                "restartCount": 0,
                **said,
            }
            for index, (name, said) in enumerate(containers.items(), 1)
        ],
        **(status or {}),
    }
    return found


def task_of(launch: Launch) -> Task:
    """Return the task of a launch."""
    return launch.task
