"""CPU, memory and devices: of containers, and of whole pods where the API server takes those. Pure.

ECS's hard memory is a limit, its reservation a request; CPU units are shares, which is what a request of CPU is.
"""

from collections.abc import Sequence
from typing import Any, Final

from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import ephemeral_storage, on_fargate, task_size
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]

_UNITS: Final = 1024
_DEVICES: Final = {"GPU": "nvidia.com/gpu", "NeuronDevice": "aws.amazon.com/neuron"}
_MIB_MIN: Final = 6
"""The least memory that ECS and Docker accept for a container."""


def cpu(units: int) -> str:
    """Spell CPU units; up, so that nothing becomes 0."""
    return f"{-(-units * 1000 // _UNITS)}m"


def memory(mib: int) -> str:
    """Spell MiB."""
    return f"{mib}Mi"


def of_container(container: Json) -> Json:
    """Return `resources` of a container from what its own definition says."""
    limits: Json = {}
    requests: Json = {}
    hard, soft = int(container.get("memory") or 0), int(container.get("memoryReservation") or 0)
    if hard:
        limits["memory"] = memory(hard)
    if soft or hard:
        requests["memory"] = memory(soft or hard)
    if container.get("cpu"):
        requests["cpu"] = cpu(int(container["cpu"]))
    for one in container.get("resourceRequirements") or ():
        if one["type"] in _DEVICES:
            limits[_DEVICES[one["type"]]] = requests[_DEVICES[one["type"]]] = str(one["value"])
    return _filled(requests, limits)


def _filled(requests: Json, limits: Json) -> Json:
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}


def of_pod(launch: Launch, containers: Sequence[Json], config: PodConfig) -> Json:
    """Return `resources` of a pod whose task has a size of its own; empty for others.

    The proxy runs in the pod beside the task, so the pod's limits have room for it.
    """
    units, mib = task_size(launch)
    proxied = config.proxy_mode == "sidecar"
    requests: Json = {}
    limits: Json = {}
    if units:
        asked = max(units, sum(int(one.get("cpu") or 0) for one in containers))
        requests["cpu"] = cpu(asked)
        limits["cpu"] = cpu(asked + config.sidecar_cpu_units * proxied)
    if mib:
        hard = max((int(one.get("memory") or 0) for one in containers), default=0)
        asked = max(mib, hard, sum(int(one.get("memoryReservation") or one.get("memory") or 0) for one in containers))
        requests["memory"] = memory(asked)
        limits["memory"] = memory(asked + config.sidecar_memory_mib * proxied)
    return _filled(requests, limits)


def split(launch: Launch, containers: Sequence[Json]) -> list[Json]:
    """Return `resources` of each container where pods can't have their own: the task's size is shared out.

    What a container has asked for it keeps; the rest goes to those that have not asked, in equal parts. On Fargate,
    where CPU is a limit too, what is left belongs to all.
    """
    units, mib = task_size(launch)
    found = [of_container(one) for one in containers]
    silent = [one for one in containers if not (one.get("memory") or one.get("memoryReservation"))]
    said = sum(int(one.get("memory") or one.get("memoryReservation") or 0) for one in containers)
    for container, resources in zip(containers, found, strict=True):
        if mib and container in silent:
            part = max((mib - said) // len(silent), _MIB_MIN)
            resources.setdefault("requests", {})["memory"] = memory(part)
            resources.setdefault("limits", {})["memory"] = memory(max(mib - said, part))
        elif mib and not container.get("memory"):
            resources.setdefault("limits", {})["memory"] = memory(max(mib, int(container["memoryReservation"])))
        if units and not container.get("cpu"):
            resources.setdefault("requests", {})["cpu"] = cpu(max(units // len(containers), 1))
        if units and on_fargate(launch):
            resources.setdefault("limits", {})["cpu"] = cpu(max(units, int(container.get("cpu") or 0)))
    return found


def with_storage(launch: Launch, resources: Json) -> Json:
    """Add the task's storage to one container's resources: kubelet adds up what the containers of a pod may use."""
    size = ephemeral_storage(launch)
    if not size:
        return resources
    amount = {"ephemeral-storage": f"{size}Gi"}
    return {name: {**resources.get(name, {}), **amount} for name in ("requests", "limits")}
