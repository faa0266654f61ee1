"""What tasks and their belongings are called in a cluster, and the marks by which they are found again. Pure."""

import hashlib
import re
from typing import Final

TASK_LABEL: Final = "kecs.io/ecs-task-id"
"""The task's id. Every pod that has it is a task; no other is looked at."""
PLANE_LABEL: Final = "kecs.io/ecs-control-plane"
"""Whose task it is where several control planes share a cluster. One that knows no record of a task removes its pod:
it must see none of another's."""
CLUSTER_LABEL: Final = "kecs.io/ecs-cluster"
SERVICE_LABEL: Final = "kecs.io/ecs-service"
FAMILY_LABEL: Final = "kecs.io/ecs-family"
GROUP_LABEL: Final = "kecs.io/ecs-group"
REGION_LABEL: Final = "kecs.io/ecs-region"
ACCOUNT_LABEL: Final = "kecs.io/ecs-account"
MANAGED_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_VALUE: Final = "kecs"

ARN_ANNOTATION: Final = "kecs.io/ecs-task-arn"
CLUSTER_ANNOTATION: Final = "kecs.io/ecs-cluster-arn"
DEFINITION_ANNOTATION: Final = "kecs.io/ecs-task-definition-arn"
SERVICE_ANNOTATION: Final = "kecs.io/ecs-service-arn"
CONTAINERS_ANNOTATION: Final = "kecs.io/ecs-containers"
"""JSON: what the pod's own container names stand for, and what their states mean; see `contents`."""
OPENED_ANNOTATION: Final = "kecs.io/ecs-opened"
"""JSON: the containers whose dependencies have been met. That it changes makes kubelet try them at once."""
DOCKER_LABELS_ANNOTATION: Final = "kecs.io/ecs-docker-labels"
"""JSON: dockerLabels by container. Their keys may hold what those of annotations may not."""

_LABEL_MAX: Final = 63
_NAME_MAX: Final = 63
_HASH: Final = 8
_NOT_DNS: Final = re.compile(r"[^a-z0-9-]+")
_NOT_LABEL: Final = re.compile(r"[^A-Za-z0-9._-]+")


def digest(text: str, length: int = _HASH) -> str:
    """Return some hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def dns_label(text: str, *, unique: str = "", limit: int = _NAME_MAX) -> str:
    """Return a name that Kubernetes takes: the text itself where it is one, else near it with a hash.

    What tells apart texts that look alike afterwards is the hash of `unique`, or of the text.
    """
    near = _NOT_DNS.sub("-", text.lower()).strip("-")
    if near == text and len(near) <= limit:
        return near
    return f"{near[: limit - _HASH - 1].strip('-') or 'x'}-{digest(unique or text)}"


def label_value(text: str) -> str:
    """Return what a label can hold of a text: itself, or near it with a hash."""
    near = _NOT_LABEL.sub("-", text).strip("-._")
    if near == text and len(near) <= _LABEL_MAX:
        return near
    return f"{near[: _LABEL_MAX - _HASH - 1].strip('-._') or 'x'}-{digest(text)}"


def pod_name(task_id: str) -> str:
    """Return the name of a task's pod."""
    return f"task-{task_id}"


def secret_name(task_id: str) -> str:
    """Return the name of the Secret with a task's resolved secrets."""
    return f"task-{task_id}"


def pull_secret_name(task_id: str, container: str) -> str:
    """Return the name of the Secret with a container's registry credentials."""
    return f"task-{task_id}-pull-{digest(container)}"


def gate_name(task_id: str, container: str) -> str:
    """Return the name of the ConfigMap that a container waits for."""
    return f"task-{task_id}-gate-{digest(container)}"


def container_name(name: str) -> str:
    """Return what a container is called in its pod."""
    return dns_label(name)
