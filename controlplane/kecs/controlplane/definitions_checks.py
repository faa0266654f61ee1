"""What is wrong with a task definition that is to be registered. Pure.

AWS tells the first problem it finds; so does `check`. `problems` yields them all.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from kecs.controlplane import definitions_containers, definitions_fargate, definitions_relations, fields
from kecs.controlplane.definitions_containers import name_problems
from kecs.controlplane.definitions_units import units
from kecs.controlplane.errors import refused

type Json = Mapping[str, Any]

_LONGEST = 65536
_MOST_CONTAINERS = 10
_MOST_CONSTRAINTS = 10
_CPU = range(128, 196608 + 1)
"""Units of an EC2 task: from an eighth of a CPU to 192 CPUs."""
_STORAGE = range(21, 200 + 1)
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/.+")
_VOLUME_KINDS = (
    "host",
    "dockerVolumeConfiguration",
    "efsVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
    "s3filesVolumeConfiguration",
)


def check(params: Json) -> None:
    """Raise ClientException with the first problem, if there is any."""
    first = next(problems(params), None)
    if first is not None:
        raise refused(first)


def problems(params: Json) -> Iterator[str]:
    """Yield what is wrong, a sentence each. What can't be looked at for an earlier problem's sake is left out."""
    containers = params["containerDefinitions"]
    yield from name_problems("Family", params.get("family"))
    if not containers:
        yield "Container list cannot be empty."
        return
    if len(containers) > _MOST_CONTAINERS:
        yield "Too many containers."
    for container in containers:
        wrong = list(definitions_containers.problems(container)) if container.get("name") else []
        if not container.get("name"):
            yield "Container.name should not be null or empty."
            return
        yield from wrong
        if wrong:
            return
    requires = params.get("requiresCompatibilities", ())
    yield from chain(
        _sizes(params),
        definitions_relations.problems(params),
        _volumes(params),
        _roles(params),
        definitions_fargate.problems(params) if "FARGATE" in requires else (),
        _rest(params),
        fields.refusals(params),
    )


def _sizes(params: Json) -> Iterator[str]:
    containers = params["containerDefinitions"]
    cpu, memory = (units(one, params[one]) if params.get(one) else "" for one in ("cpu", "memory"))
    if cpu and not (cpu.isdecimal() and int(cpu) in _CPU):
        yield "Invalid 'cpu' setting for task."
    elif cpu and sum(one.get("cpu", 0) for one in containers) > int(cpu):
        yield "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."
    if memory and not (memory.isdecimal() and int(memory) > 0):
        yield "Invalid 'memory' setting for task."
        return
    for container in containers:
        if not memory and not container.get("memory") and not container.get("memoryReservation"):
            yield (
                f"Invalid setting for container '{container['name']}'. At least one of 'memory' or "
                "'memoryReservation' must be specified."
            )
        if memory and container.get("memory", 0) > int(memory):
            yield f"The 'memory' setting for container '{container['name']}' is greater than for the task."
    if memory and sum(one.get("memoryReservation", 0) for one in containers) > int(memory):
        yield (
            "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'."
        )


def _volumes(params: Json) -> Iterator[str]:
    seen: set[str] = set()
    volumes = params.get("volumes", ())
    for volume in volumes:
        name = volume.get("name") or ""
        yield from name_problems("Volume.name", name)
        if name in seen:
            yield f"Volume names must be unique within a task definition: '{name}'"
        seen.add(name)
        kinds = [kind for kind in _VOLUME_KINDS if kind in volume]
        if len(kinds) + bool(volume.get("configuredAtLaunch")) > 1:
            yield f"Volume '{name}' must have at most one configuration."
        yield from _efs(volume.get("efsVolumeConfiguration"))
    if sum(bool(volume.get("configuredAtLaunch")) for volume in volumes) > 1:
        yield "Only one volume of a task definition can be configured at launch."


def _efs(efs: Json | None) -> Iterator[str]:
    if efs is None:
        return
    access, encrypted = efs.get("authorizationConfig", {}), efs.get("transitEncryption") == "ENABLED"
    if access.get("accessPointId") and efs.get("rootDirectory", "/") != "/":
        yield 'When using an EFS access point, the root directory must either be set to "/" or be omitted.'
    if access.get("iam") == "ENABLED" and not encrypted:
        yield "EFS IAM authorization requires TransitEncryption to be enabled."
    if efs.get("transitEncryptionPort") is not None and not encrypted:
        yield "TransitEncryptionPort requires that TransitEncryption is enabled."


def _roles(params: Json) -> Iterator[str]:
    for member in ("taskRoleArn", "executionRoleArn"):
        given = params.get(member) or ""
        if given.startswith("arn:") and not _ROLE.fullmatch(given):
            yield "Role is not valid"
    if params.get("executionRoleArn"):
        return
    if any(container.get("secrets") for container in params["containerDefinitions"]):
        yield "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."


def _rest(params: Json) -> Iterator[str]:
    storage, requires = params.get("ephemeralStorage"), params.get("requiresCompatibilities", ())
    if params.get("inferenceAccelerators"):
        yield "Unsupported field 'inferenceAccelerators'."
    if storage is not None and "FARGATE" not in requires:
        yield "Tasks using the EC2 launch type do not support EphemeralStorage."
    elif storage is not None and storage["sizeInGiB"] < _STORAGE[0]:
        yield f"EphemeralStorage size should be at least {_STORAGE[0]}"
    elif storage is not None and storage["sizeInGiB"] > _STORAGE[-1]:
        yield f"EphemeralStorage size should be at most {_STORAGE[-1]}"
    if "EXTERNAL" in requires and params.get("networkMode") == "awsvpc":
        yield "Tasks using the EXTERNAL launch type do not support networkMode 'awsvpc'."
    constraints = params.get("placementConstraints", ())
    if len(constraints) > _MOST_CONSTRAINTS:
        yield f"A task definition can have at most {_MOST_CONSTRAINTS} placement constraints."
    if any(not one.get("expression") for one in constraints):
        yield "A placement constraint of type memberOf must have an expression."
    length = len(json.dumps(dict(params), separators=(",", ":"), default=str).encode())
    if length > _LONGEST:
        yield f"Actual length: '{length}'. Max allowed length is '{_LONGEST}' bytes."
