"""Task in, pod out. Pure.

Whatever a field of a task definition says either stands in the pod, is obeyed by who watches it, or is refused when the
definition is registered: `kecs.controlplane.fields` has the list.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kecs.controlplane.kubernetes import contents, networking, placement, resources, volumes
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.containers import container, secret_values
from kecs.controlplane.kubernetes.effective import Resolved, containers
from kecs.controlplane.kubernetes.metadata import surroundings, task_facts
from kecs.controlplane.kubernetes.names import (
    ARN_ANNOTATION,
    CLUSTER_ANNOTATION,
    CLUSTER_LABEL,
    CONTAINERS_ANNOTATION,
    DEFINITION_ANNOTATION,
    DOCKER_LABELS_ANNOTATION,
    FAMILY_LABEL,
    GROUP_LABEL,
    MANAGED_LABEL,
    MANAGED_VALUE,
    PLANE_LABEL,
    SERVICE_ANNOTATION,
    SERVICE_LABEL,
    TASK_LABEL,
    label_value,
    pod_name,
    pull_secret_name,
    secret_name,
)
from kecs.controlplane.kubernetes.namespaces import namespace_of
from kecs.controlplane.kubernetes.networking import NO_NETWORK_LABEL, HostPorts
from kecs.controlplane.runtime import Launch
from kecs.core.names import MODE_ANNOTATION, TASK_ANNOTATION

type Json = dict[str, Any]

_NOTHING: Final = Resolved()
_POD_RESOURCES: Final = (1, 34)
STOP_TIMEOUT_S: Final = 30
"""From SIGTERM to SIGKILL, where a container says nothing."""


def manifest(
    launch: Launch, *, config: PodConfig, resolved: Resolved = _NOTHING, chosen: HostPorts | None = None
) -> Json:
    """Return the pod of a task. `chosen` are ports of the machine, as `networking.host_ports` chooses them."""
    running = containers(launch)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(launch.task.id),
            "namespace": namespace_of(launch.cluster.arn),
            "labels": _labels(launch, config),
            "annotations": _annotations(launch, running, config),
        },
        "spec": _spec(launch, running, config, resolved, chosen or {}),
    }


def takes_resources(version: Mapping[str, Any]) -> bool:
    """Tell from /version whether the API server takes resources of whole pods: beta, and on, from 1.34."""
    numbers = [re.match(r"\d*", str(version.get(name) or ""))[0] for name in ("major", "minor")]  # type: ignore[index]  # matches anything
    return tuple(int(number or 0) for number in numbers) >= _POD_RESOURCES


def _labels(launch: Launch, config: PodConfig) -> dict[str, str]:
    task = launch.task
    labels = {
        MANAGED_LABEL: MANAGED_VALUE,
        TASK_LABEL: task.id,
        CLUSTER_LABEL: label_value(launch.cluster.name),
        FAMILY_LABEL: label_value(launch.definition.family),
        GROUP_LABEL: label_value(task.group),
    }
    if config.instance:
        labels[PLANE_LABEL] = config.instance
    if task.service_arn:
        labels[SERVICE_LABEL] = label_value(task.service_arn.rpartition("/")[2])
    if launch.definition.network_mode == "none":
        labels[NO_NETWORK_LABEL] = "none"
    return labels


def proxy_mode(launch: Launch, config: PodConfig) -> str:
    """Return how a task reaches AWS: a network that is the machine's can't be redirected, none needs no way."""
    match launch.definition.network_mode:
        case "none":
            return "disabled"
        case "host" if config.proxy_mode == "sidecar":
            return "environment"
        case _:
            return config.proxy_mode


def _annotations(launch: Launch, running: Sequence[Json], config: PodConfig) -> dict[str, str]:
    task = launch.task
    annotations = {
        ARN_ANNOTATION: task.arn,
        CLUSTER_ANNOTATION: task.cluster_arn,
        DEFINITION_ANNOTATION: task.definition_arn,
        CONTAINERS_ANNOTATION: contents.write(running, task.arn),
        TASK_ANNOTATION: json.dumps(task_facts(launch, running), separators=(",", ":")),
    }
    if task.service_arn:
        annotations[SERVICE_ANNOTATION] = task.service_arn
    if mode := proxy_mode(launch, config):
        annotations[MODE_ANNOTATION] = mode
    if labels := {one["name"]: one["dockerLabels"] for one in running if one.get("dockerLabels")}:
        annotations[DOCKER_LABELS_ANNOTATION] = json.dumps(labels, separators=(",", ":"))
    return annotations


def _spec(launch: Launch, running: Sequence[Json], config: PodConfig, resolved: Resolved, chosen: HostPorts) -> Json:
    whole = resources.of_pod(launch, running, config) if config.pod_resources else {}
    sizes = [resources.of_container(one) for one in running] if whole else resources.split(launch, running)
    sizes[0] = resources.with_storage(launch, sizes[0])
    proxied = proxy_mode(launch, config) == "sidecar"
    made = [
        container(
            one,
            launch=launch,
            containers=running,
            config=config,
            resolved=resolved,
            chosen=chosen,
            surroundings=surroundings(launch, one, proxied=proxied),
        )
        | ({"resources": size} if size else {})
        for one, size in zip(running, sizes, strict=True)
    ]
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s(running),
        "containers": made,
        "volumes": volumes.volumes(launch, running, config),
        "resources": whole,
        "imagePullSecrets": [
            {"name": pull_secret_name(launch.task.id, one["name"])}
            for one in running
            if one.get("repositoryCredentials")
        ],
        "serviceAccountName": config.service_account,
        "priorityClassName": config.priority_class,
        **_kernel(launch, running),
        **networking.of_pod(launch, running),
        **placement.of_pod(launch),
    }
    return {name: value for name, value in spec.items() if value not in ("", [], {})}


def grace_s(running: Sequence[Json]) -> int:
    """Return how long a pod may take to end: as long as the most patient of its containers."""
    said = (one.get("stopTimeout") for one in running)
    return max((STOP_TIMEOUT_S if one is None else int(one) for one in said), default=STOP_TIMEOUT_S)


def _kernel(launch: Launch, running: Sequence[Json]) -> Json:
    """Return namespaces and sysctls. Under one process namespace the pod's own first process reaps orphans."""
    document = launch.definition.document
    spec: Json = {}
    pid, ipc = document.get("pidMode"), document.get("ipcMode")
    if pid == "host":
        spec["hostPID"] = True
    elif pid == "task" or any((one.get("linuxParameters") or {}).get("initProcessEnabled") for one in running):
        spec["shareProcessNamespace"] = True
    if ipc == "host":
        spec["hostIPC"] = True
    controls = {one["namespace"]: one["value"] for item in running for one in item.get("systemControls") or ()}
    if controls:
        sysctls = [{"name": name, "value": str(value)} for name, value in controls.items()]
        spec["securityContext"] = {"sysctls": sysctls}
    return spec


def secret(launch: Launch, resolved: Resolved) -> Json | None:
    """Return the Secret with what a task's containers are told in confidence; None where that is nothing."""
    data = dict(secret_values(resolved))
    if not data:
        return None
    return _secret(launch, secret_name(launch.task.id), "Opaque", data)


def pull_secrets(launch: Launch, resolved: Resolved) -> list[Json]:
    """Return the Secrets with registries' credentials."""
    found = []
    for one in containers(launch):
        if (login := resolved.registries.get(one["name"])) is not None:
            registry, slash, _ = one["image"].partition("/")
            named = bool(slash) and ("." in registry or ":" in registry or registry == "localhost")
            server = registry if named else "https://index.docker.io/v1/"
            text = json.dumps({"auths": {server: dict(login)}})
            name = pull_secret_name(launch.task.id, one["name"])
            found.append(_secret(launch, name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": text}))
    return found


def _secret(launch: Launch, name: str, kind: str, data: Mapping[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace_of(launch.cluster.arn),
            "labels": {MANAGED_LABEL: MANAGED_VALUE, TASK_LABEL: launch.task.id},
            "annotations": {ARN_ANNOTATION: launch.task.arn},
        },
        "type": kind,
        "stringData": dict(data),
    }
