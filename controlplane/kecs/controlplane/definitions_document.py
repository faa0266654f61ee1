"""A task definition as AWS gives it back: what was registered, with the defaults that AWS fills in. Pure.

What comes out is what goes in again unchanged: deploy tools describe a definition, change an image and register it.
"""

from collections.abc import Mapping
from typing import Any

from kecs.controlplane.definitions_attributes import attributes, compatibilities
from kecs.controlplane.definitions_units import units

type Json = dict[str, Any]

KEPT = (
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
    "trustedExecutionConfiguration",
)
"""Members of the request that are kept as they are, besides containerDefinitions: the family has a field of its own."""

_EMPTY_LISTS = ("portMappings", "environment", "mountPoints", "volumesFrom", "systemControls")
"""AWS gives these back where nothing was said."""

_HEALTH_CHECK = {"interval": 30, "timeout": 5, "retries": 3}


def normalised(params: Mapping[str, Any]) -> Json:
    """Return the document of a definition from the request that registers it."""
    document: Json = {name: params[name] for name in KEPT if params.get(name) not in (None, "", [], {})}
    for member in ("cpu", "memory"):
        if member in document:
            document[member] = units(member, document[member])
    document["volumes"] = [_volume(volume) for volume in document.get("volumes", ())]
    document.setdefault("placementConstraints", [])
    mode = document.get("networkMode")
    document["containerDefinitions"] = [_container(one, mode) for one in params["containerDefinitions"]]
    document["requiresAttributes"] = attributes(document)
    document["compatibilities"] = compatibilities(document)
    return document


def _volume(volume: Json) -> Json:
    kinds = [name for name in volume if name not in ("name", "configuredAtLaunch")]
    if not kinds and not volume.get("configuredAtLaunch"):
        return {**volume, "host": {}}
    result = dict(volume)
    if "efsVolumeConfiguration" in result:
        result["efsVolumeConfiguration"] = {"rootDirectory": "/"} | result["efsVolumeConfiguration"]
    if "dockerVolumeConfiguration" in result:
        result["dockerVolumeConfiguration"] = {"scope": "task"} | result["dockerVolumeConfiguration"]
    return result


def _container(given: Json, mode: str | None) -> Json:
    container: Json = {"cpu": 0, "essential": True, **given}
    for name in _EMPTY_LISTS:
        container.setdefault(name, [])
    container["portMappings"] = [_port(mapping, mode) for mapping in container["portMappings"]]
    if "healthCheck" in container:
        container["healthCheck"] = _HEALTH_CHECK | container["healthCheck"]
    return container


def _port(given: Json, mode: str | None) -> Json:
    mapping = dict(given)
    mapping.setdefault("protocol", "tcp")
    if "containerPort" not in mapping:
        return mapping
    if mode in {"awsvpc", "host"}:
        mapping.setdefault("hostPort", mapping["containerPort"])
    else:
        mapping.setdefault("hostPort", 0)
    return mapping
