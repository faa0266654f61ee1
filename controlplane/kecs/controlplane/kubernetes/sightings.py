"""What a pod says about its task. Pure.

Containers are judged by their own states, never by the pod's phase: a phase follows seconds later, is Pending while a
container waits for another, and is Succeeded or Failed for reasons that ECS does not have.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from kecs.controlplane.kubernetes import contents
from kecs.controlplane.kubernetes.contents import Content
from kecs.controlplane.kubernetes.health import patience_s
from kecs.controlplane.kubernetes.names import ARN_ANNOTATION
from kecs.controlplane.records.tasks import ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Sighting
from kecs.core.names import INIT_CONTAINER, SIDECAR_CONTAINER

type Json = dict[str, Any]

OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
_KILLED: Final = 137
_START_ERROR: Final = 128
_UNKNOWN: Final = "ContainerStatusUnknown"
"""kubelet's word, with 137, when a pod ends before its container was there."""
_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_FIRST_TRY: Final = "ErrImagePull"
_FINAL: Final = re.compile(r"not found|denied|unauthorized|does not exist|invalid reference", re.IGNORECASE)
"""What no other try changes. After anything else kubelet is let try once more: ImagePullBackOff follows."""
_CREATE: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_RUN: Final = frozenset({"RunContainerError", "StartError", "ContainerCannotRun"})
_PASSING: Final = re.compile(
    r'configmap "task-[0-9a-f]+-gate-[0-9a-f]+" not found|failed to sync|timed out|deadline exceeded'
)
"""What kubelet tries again: a container that waits for another one; caches that it has not filled yet."""
_PULLED: Final = re.compile(r"^Back-off pulling image \"[^\"]*\"(: )?")
_NODE_LOST: Final = frozenset({"NodeLost", "NodeShutdown", "Terminated", "NodeAffinity", "Shutdown"})
_NODE_TAINTS: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"})
"""Reasons of the condition DisruptionTarget that mean the machine, not the pod."""


def arn_of(pod: Mapping[str, Any]) -> str:
    """Return the task that a pod is; empty where it is none."""
    return str((pod.get("metadata", {}).get("annotations") or {}).get(ARN_ANNOTATION) or "")


def sighting(pod: Mapping[str, Any], *, now: datetime, gone: bool = False) -> Sighting:
    """Return what is seen of a task. `gone`: the pod has been deleted, and this is how it was last."""
    spec, status = pod["spec"], pod.get("status") or {}
    lost = _node_lost(status)
    left = status.get("phase") == "Failed" or "deletionTimestamp" in pod["metadata"]
    return Sighting(
        task_arn=arn_of(pod),
        node=spec.get("nodeName") or "",
        address=status.get("podIP") or "",
        host_ports=dict(_host_ports(pod)),
        containers=tuple(_containers(pod, now)),
        pull_started_at=_condition_time(status, "PodScheduled"),
        pull_stopped_at=_pulled_at(pod),
        failure=failure(pod),
        gone=gone or (lost and left),
        node_lost=lost,
    )


def moment(text: str | None) -> datetime | None:
    """Read a time of the API."""
    return datetime.fromisoformat(text) if text else None


def statuses(pod: Mapping[str, Any]) -> dict[str, Json]:
    """Return the statuses of the pod's containers, by the pod's names."""
    return {one["name"]: one for one in (pod.get("status") or {}).get("containerStatuses") or ()}


def _specs(pod: Mapping[str, Any]) -> dict[str, Json]:
    return {one["name"]: one for one in pod["spec"].get("containers") or ()}


def _host_ports(pod: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], int]]:
    specs = _specs(pod)
    for content in contents.read(pod):
        for port in specs.get(content.pod_name, {}).get("ports") or ():
            if port.get("hostPort"):
                yield (content.name, int(port["containerPort"])), int(port["hostPort"])


def _condition(status: Mapping[str, Any], kind: str) -> Json:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), {})


def _condition_time(status: Mapping[str, Any], kind: str) -> datetime | None:
    found = _condition(status, kind)
    return moment(found.get("lastTransitionTime")) if found.get("status") == "True" else None


def _pulled_at(pod: Mapping[str, Any]) -> datetime | None:
    """Return when the first container began: nothing tells when images had come."""
    begun = [began for one in statuses(pod).values() if (began := _times(one)[0])]
    return min(begun, default=None)


def _times(status: Json) -> tuple[datetime | None, datetime | None]:
    state = status.get("state") or {}
    found = state.get("running") or state.get("terminated") or {}
    return moment(found.get("startedAt")), moment(found.get("finishedAt"))


def _containers(pod: Mapping[str, Any], now: datetime) -> Iterator[ContainerSighting]:
    found, specs = statuses(pod), _specs(pod)
    ended = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    for content in contents.read(pod):
        status = found.get(content.pod_name)
        if status is None:
            last = ContainerStatus.STOPPED if ended else ContainerStatus.PENDING
            yield ContainerSighting(name=content.name, status=last)
        else:
            yield _container(content, status, specs.get(content.pod_name, {}), now, ended=ended)


def _container(content: Content, status: Json, spec: Json, now: datetime, *, ended: bool) -> ContainerSighting:
    state = status.get("state") or {}
    terminated = state.get("terminated")
    began, finished = _times(status)
    if terminated is not None:
        how, code, reason = ContainerStatus.STOPPED, _exit_code(terminated), _reason(terminated)
    elif "running" in state:
        how, code, reason = ContainerStatus.RUNNING, None, ""
    else:
        how, code, reason = (ContainerStatus.STOPPED if ended else ContainerStatus.PENDING), None, ""
    return ContainerSighting(
        name=content.name,
        status=how,
        runtime_id=str(status.get("containerID") or "").rpartition("/")[2],
        image_digest=_digest(str(status.get("imageID") or "")),
        exit_code=code,
        reason=reason,
        health=_health(content, status, spec, now),
        started_at=began if terminated is None or code is not None else None,
        finished_at=finished,
    )


def _digest(image: str) -> str:
    """Return the digest of an image's name, where there is one."""
    found = image.rpartition("@")[2].rpartition("/")[2]
    return found if found.startswith("sha256:") else ""


def _exit_code(terminated: Json) -> int | None:
    """Return the exit code; none of a container that never ran, for which kubelet says 128 or 137."""
    if terminated.get("reason") == _UNKNOWN:
        return None
    if terminated.get("reason") in _RUN and terminated.get("exitCode") == _START_ERROR:
        return None
    return int(terminated.get("exitCode", 0))


def _reason(terminated: Json) -> str:
    """Return why a container ended. Out of memory with another code than 137 was a child's end, not the container's."""
    if terminated.get("reason") == "OOMKilled" and terminated.get("exitCode") == _KILLED:
        return OUT_OF_MEMORY
    if terminated.get("reason") in _RUN:
        return f"CannotStartContainerError: {_said(terminated)}"
    return ""


def _said(state: Json) -> str:
    return " ".join(str(state.get("message") or state.get("reason") or "").split())


def _health(content: Content, status: Json, spec: Json, now: datetime) -> Health:
    probe = spec.get("readinessProbe")
    began = _times(status)[0]
    if not probe or began is None or "running" not in (status.get("state") or {}):
        return Health.UNKNOWN
    if status.get("ready"):
        return Health.HEALTHY
    return Health.UNHEALTHY if _unhealthy_at(content, probe, began) <= now else Health.UNKNOWN


def _unhealthy_at(content: Content, probe: Json, began: datetime) -> datetime:
    return began + timedelta(seconds=patience_s(probe, content.start_period_s))


def next_change(pod: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when a sighting changes though the pod does not: a container's first health is overdue."""
    found, specs = statuses(pod), _specs(pod)
    overdue = (
        _unhealthy_at(content, specs[content.pod_name]["readinessProbe"], began)
        for content in contents.read(pod)
        if content.pod_name in found
        and specs.get(content.pod_name, {}).get("readinessProbe")
        and not found[content.pod_name].get("ready")
        and "running" in (found[content.pod_name].get("state") or {})
        and (began := _times(found[content.pod_name])[0])
    )
    return min((when for when in overdue if when > now), default=None)


def failure(pod: Mapping[str, Any]) -> str:
    """Return why a task can't start or had to end, as `stoppedReason` says it; empty while it may."""
    status = pod.get("status") or {}
    return next((said for rule in _FAILURES if (said := rule(status))), "")


def _waiting(status: Mapping[str, Any], kinds: frozenset[str]) -> str | None:
    """Return what a container says that waits in one of these states."""
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in kinds and not _passes(waiting):
            return _said(waiting)
    return None


def _passes(waiting: Json) -> bool:
    """Tell whether kubelet may yet succeed by itself."""
    said = _said(waiting)
    if waiting["reason"] in _PULL:
        return waiting["reason"] == _FIRST_TRY and not _FINAL.search(said)
    return bool(_PASSING.search(said))


def _pull_failed(status: Mapping[str, Any]) -> str:
    said = _waiting(status, _PULL)
    return "" if said is None else f"CannotPullContainerError: {_PULLED.sub('', said) or said}"


def _create_failed(status: Mapping[str, Any]) -> str:
    said = _waiting(status, _CREATE)
    return "" if said is None else f"CannotCreateContainerError: {said}"


def _run_failed(status: Mapping[str, Any]) -> str:
    said = _waiting(status, _RUN)
    if said is None:
        ended = ((one.get("state") or {}).get("terminated") or {} for one in status.get("containerStatuses") or ())
        said = next((_said(one) for one in ended if one.get("reason") in _RUN), None)
    return "" if said is None else f"CannotStartContainerError: {said}"


def _proxy_failed(status: Mapping[str, Any]) -> str:
    """Return that the redirect rules or the sidecar could not be had: the containers then wait for ever."""
    for one in status.get("initContainerStatuses") or ():
        terminated = (one.get("state") or {}).get("terminated") or {}
        if one.get("name") in (INIT_CONTAINER, SIDECAR_CONTAINER) and terminated.get("exitCode"):
            return (
                f"ResourceInitializationError: {one['name']} ended with {terminated['exitCode']}: {_said(terminated)}"
            )
    return ""


def _evicted(status: Mapping[str, Any]) -> str:
    """Return what the pod itself says when kubelet has given it up before its containers ended by themselves."""
    if status.get("phase") != "Failed" or not status.get("reason"):
        return ""
    said = " ".join(str(status.get("message") or "").split())
    return f"{status['reason']}: {said}" if said else str(status["reason"])


_FAILURES: Final[tuple[Callable[[Mapping[str, Any]], str], ...]] = (
    _pull_failed,
    _create_failed,
    _run_failed,
    _proxy_failed,
    _evicted,
)


def _node_lost(status: Mapping[str, Any]) -> bool:
    if status.get("reason") in _NODE_LOST:
        return True
    target = _condition(status, "DisruptionTarget")
    return target.get("status") == "True" and target.get("reason") in _NODE_TAINTS
