"""What keeps a task definition from running on Fargate. Pure.

Where FARGATE is required these are refusals; else it is not among the compatibilities.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kecs.controlplane.definitions_units import units

type Json = Mapping[str, Any]

SIZES: Final[Mapping[int, frozenset[int]]] = {
    256: frozenset({512, 1024, 2048}),
    512: frozenset(range(1024, 4096 + 1, 1024)),
    1024: frozenset(range(2048, 8192 + 1, 1024)),
    2048: frozenset(range(4096, 16384 + 1, 1024)),
    4096: frozenset(range(8192, 30720 + 1, 1024)),
    8192: frozenset(range(16384, 61440 + 1, 4096)),
    16384: frozenset(range(32768, 122880 + 1, 8192)),
    32768: frozenset({61440, 122880, 249856}),
}
"""MiB of memory that go with units of CPU."""

_WINDOWS_LEAST_CPU = 1024
_LONGEST_TIMEOUT = 120
_LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
_CAPABILITIES = ("SYS_PTRACE",)
_REFUSED_LINUX = ("devices", "sharedMemorySize", "maxSwap", "swappiness")


def problems(params: Json) -> Iterator[str]:
    """Yield what keeps it from Fargate, a sentence each."""
    if params.get("networkMode") != "awsvpc":
        # Some of Fargate's sentences have curly quotation marks.
        yield "Fargate only supports network mode ‘awsvpc’."  # noqa: RUF001 - AWS's
    yield from _size(params)
    if params.get("pidMode") == "host":
        yield (
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is "
            "'task'."
        )
    for member, wrong in _task_members(params):
        if wrong:
            yield f"Fargate compatible task definitions do not support {member}"
    for container in params["containerDefinitions"]:
        yield from _container(container)
        if not params.get("executionRoleArn"):
            yield from _without_role(container)


def _size(params: Json) -> Iterator[str]:
    for member in ("cpu", "memory"):
        if not params.get(member):
            yield f"Fargate requires that '{member}' be defined at the task level."
            return
    cpu, memory = units("cpu", params["cpu"]), units("memory", params["memory"])
    system = params.get("runtimePlatform", {}).get("operatingSystemFamily", "LINUX")
    fits = cpu.isdecimal() and memory.isdecimal() and int(memory) in SIZES.get(int(cpu), ())
    if not fits or (system.startswith("WINDOWS") and int(cpu) < _WINDOWS_LEAST_CPU):
        yield (
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS "
            "documentation for the valid values."
        )


def _task_members(params: Json) -> Iterator[tuple[str, bool]]:
    volumes = params.get("volumes", ())
    yield "ipcMode", params.get("ipcMode") is not None
    yield "constraints", bool(params.get("placementConstraints"))
    yield "sourcePath", any(volume.get("host", {}).get("sourcePath") for volume in volumes)
    yield "dockerVolumeConfiguration", any("dockerVolumeConfiguration" in volume for volume in volumes)


def _container(container: Json) -> Iterator[str]:
    linux = container.get("linuxParameters", {})
    if container.get("privileged"):
        yield "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level."  # noqa: RUF001 - AWS's
    if container.get("dockerSecurityOptions"):
        yield "Fargate compatible task definitions do not support dockerSecurityOptions"
    for member in _REFUSED_LINUX:
        if linux.get(member):
            yield f"Fargate compatible task definitions do not support {member}"
    for capability in linux.get("capabilities", {}).get("add", ()):
        if capability not in _CAPABILITIES:
            yield f"{capability} is not allowed on Fargate."
    if any(one["type"] == "GPU" for one in container.get("resourceRequirements", ())):
        yield "Tasks using the Fargate launch type do not support GPU resource requirements."
    for member, word in (("startTimeout", "start"), ("stopTimeout", "stop")):
        if container.get(member, 0) > _LONGEST_TIMEOUT:
            yield (
                f"Tasks using the Fargate launch type must have a container {word} timeout of less than "
                f"{_LONGEST_TIMEOUT} seconds."
            )
    yield from _logs(container)


def _logs(container: Json) -> Iterator[str]:
    logs = container.get("logConfiguration", {})
    driver = logs.get("logDriver", "awslogs")
    if driver not in _LOG_DRIVERS:
        yield f"{driver} is not a valid log driver. Must be one of [{','.join(_LOG_DRIVERS)}]"
    if logs and driver == "awslogs" and "awslogs-stream-prefix" not in logs.get("options", {}):
        yield (
            "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs."
        )
    firelens = container.get("firelensConfiguration", {}).get("options", {})
    if firelens.get("config-file-type") == "s3":
        yield "Fargate launch type does not support FirelensConfiguration config file from 's3'"


def _without_role(container: Json) -> Iterator[str]:
    if ".dkr.ecr." in container["image"]:
        yield "Fargate requires task definition to have execution role ARN to support ECR images."
    if container.get("logConfiguration", {}).get("logDriver") == "awslogs":
        yield "Fargate requires task definition to have execution role ARN to support log driver awslogs."
