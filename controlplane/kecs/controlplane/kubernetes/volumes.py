"""Volumes and mounts of a task. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.names import container_name, digest, dns_label
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]

_FILE_SYSTEM_SIZE: Final = "1Gi"
"""What a claim of a file system asks for: EFS has no size, claims must have one."""


def volumes(launch: Launch, containers: Sequence[Json], config: PodConfig) -> list[Json]:
    """Return the pod's volumes: those of the definition that are used, and those that containers have of their own."""
    configured = {one["name"]: one for one in launch.task.volume_configurations}
    declared = [
        {"name": volume_name(one["name"]), **_source(one, configured.get(one["name"], {}), config)}
        for one in launch.definition.document.get("volumes") or ()
    ]
    own = [volume for container in containers for volume, _ in _own(container)]
    return [*declared, *own]


def mounts(container: Json, launch: Launch, containers: Sequence[Json]) -> list[Json]:
    """Return a container's mounts. What it mounts itself holds over what it takes from others."""
    declared = {one["name"]: one for one in launch.definition.document.get("volumes") or ()}
    found: dict[str, Json] = {}
    for source in container.get("volumesFrom") or ():
        other = next((one for one in containers if one["name"] == source["sourceContainer"]), None)
        for mount in () if other is None else _mounted(other, declared):
            found[mount["mountPath"]] = mount | ({"readOnly": True} if source.get("readOnly") else {})
    found |= {mount["mountPath"]: mount for mount in _mounted(container, declared)}
    found |= {mount["mountPath"]: mount for _, mount in _own(container)}
    return list(found.values())


def volume_name(name: str) -> str:
    """Return what a volume of the definition is called in the pod. The prefix keeps it apart from everybody else's."""
    return dns_label(f"v-{name}")


def claim_name(file_system: str) -> str:
    """Return the name of the claim that stands for a file system in a namespace."""
    return dns_label(f"efs-{file_system.rpartition('/')[2]}")


def claims(launch: Launch, config: PodConfig) -> list[Json]:
    """Return the claims that must be there first: one for each file system, shared by all tasks of the cluster."""
    names = [claim_name(system) for one in launch.definition.document.get("volumes") or () if (system := _system(one))]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": _FILE_SYSTEM_SIZE}},
                **({"storageClassName": config.storage_class} if config.storage_class else {}),
            },
        }
        for name in dict.fromkeys(names)
    ]


def _system(volume: Json) -> str:
    """Return the file system of a volume that is one."""
    efs, s3 = volume.get("efsVolumeConfiguration"), volume.get("s3filesVolumeConfiguration")
    if efs:
        return str(efs["fileSystemId"])
    return str(s3["fileSystemArn"]) if s3 else ""


def _source(volume: Json, configured: Json, config: PodConfig) -> Json:
    if system := _system(volume):
        return {"persistentVolumeClaim": {"claimName": claim_name(system)}}
    if volume.get("configuredAtLaunch") or configured:
        return {"ephemeral": {"volumeClaimTemplate": _block_storage(configured, config)}}
    docker = volume.get("dockerVolumeConfiguration")
    if docker and docker.get("scope") == "shared":
        path = f"{config.shared_volumes}/{dns_label(volume['name'])}"
        return {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}
    source = (volume.get("host") or {}).get("sourcePath")
    return {"hostPath": {"path": source, "type": ""}} if source else {"emptyDir": {}}


def _block_storage(configured: Json, config: PodConfig) -> Json:
    size = int((configured.get("managedEBSVolume") or {}).get("sizeInGiB") or 1)
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{size}Gi"}}}
    if config.storage_class:
        spec["storageClassName"] = config.storage_class
    return {"spec": spec}


def _mounted(container: Json, declared: Mapping[str, Json]) -> Iterator[Json]:
    for one in container.get("mountPoints") or ():
        volume = declared.get(one.get("sourceVolume", ""))
        if volume is None or not one.get("containerPath"):
            continue
        mount = {"name": volume_name(volume["name"]), "mountPath": one["containerPath"]}
        if path := _sub_path(volume):
            mount["subPath"] = path
        yield mount | ({"readOnly": True} if one.get("readOnly") else {})


def _sub_path(volume: Json) -> str:
    """Return where in its file system a volume begins. An access point is a directory of its own."""
    said = volume.get("efsVolumeConfiguration") or volume.get("s3filesVolumeConfiguration") or {}
    point = (said.get("authorizationConfig") or {}).get("accessPointId") or said.get("accessPointArn") or ""
    parts = [part for part in str(said.get("rootDirectory") or "").split("/") if part not in ("", ".", "..")]
    return "/".join([*([f".access-points/{point.rpartition('/')[2]}"] if point else []), *parts])


def _own(container: Json) -> Iterator[tuple[Json, Json]]:
    """Yield the memory file systems and devices that one container has for itself."""
    linux = container.get("linuxParameters") or {}
    prefix = f"own-{digest(container_name(container['name']))}"
    for index, tmpfs in enumerate(linux.get("tmpfs") or ()):
        yield _memory(f"{prefix}-tmpfs-{index}", tmpfs["containerPath"], int(tmpfs["size"]))
    if linux.get("sharedMemorySize"):
        yield _memory(f"{prefix}-shm", "/dev/shm", int(linux["sharedMemorySize"]))  # noqa: S108 - of the container
    for index, device in enumerate(linux.get("devices") or ()):
        name = f"{prefix}-device-{index}"
        mount = {"name": name, "mountPath": device.get("containerPath") or device["hostPath"]}
        yield {"name": name, "hostPath": {"path": device["hostPath"], "type": ""}}, mount


def _memory(name: str, path: str, mib: int) -> tuple[Json, Json]:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": f"{mib}Mi"}}, {"name": name, "mountPath": path}
