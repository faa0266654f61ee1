"""What a task definition asks of what runs it: `requiresAttributes` and `compatibilities`. Pure.

The names are those that the ECS agent registers as attributes of its container instance. Which of them AWS derives
from what is not published; these are the ones that definitions of real accounts show.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kecs.controlplane import definitions_fargate

type Json = Mapping[str, Any]

_OLD: Final = "com.amazonaws.ecs.capability."
_NEW: Final = "ecs.capability."
_DOCKER: Final = _OLD + "docker-remote-api.1."
_PLAIN_DRIVERS: Final = ("json-file",)
_ASKED_FOR: Final = ("EXTERNAL", "MANAGED_INSTANCES")


def compatibilities(params: Json) -> list[str]:
    """Return where it may run: EC2 always, Fargate where nothing keeps it from there, others that it asks for."""
    fits = next(definitions_fargate.problems(params), None) is None
    asked = [one for one in _ASKED_FOR if one in params.get("requiresCompatibilities", ())]
    return ["EC2", *(["FARGATE"] if fits else []), *asked]


def attributes(params: Json) -> list[dict[str, str]]:
    """Return the attributes, each once."""
    found = dict.fromkeys(_names(params))
    return [{"name": name} for name in found]


def _names(params: Json) -> Iterator[str]:
    role, mode = bool(params.get("executionRoleArn")), params.get("networkMode") or "bridge"
    for container in params["containerDefinitions"]:
        yield from _of_logs(container, role=role)
        yield from _of_image(container, role=role)
        yield from (name for holds, names in _of_container(container) if holds for name in names)
    yield from (name for holds, names in _of_task(params, mode) if holds for name in names)


def _of_logs(container: Json, *, role: bool) -> Iterator[str]:
    logs = container.get("logConfiguration")
    if logs is None:
        return
    driver = logs["logDriver"]
    yield f"{_OLD}logging-driver.{driver}"
    if driver == "awslogs" and role:
        yield _NEW + "execution-role-awslogs"
    yield _DOCKER + ("18" if driver in _PLAIN_DRIVERS else "19")
    if any(":secretsmanager:" in one["valueFrom"] for one in logs.get("secretOptions", ())):
        yield _NEW + "secrets.asm.bootstrap.log-driver"
    if any(":secretsmanager:" not in one["valueFrom"] for one in logs.get("secretOptions", ())):
        yield _NEW + "secrets.ssm.bootstrap.log-driver"


def _of_image(container: Json, *, role: bool) -> Iterator[str]:
    if ".dkr.ecr." in container["image"]:
        yield _OLD + "ecr-auth"
        yield _DOCKER + "19"
        if role:
            yield _NEW + "execution-role-ecr-pull"
    if container.get("repositoryCredentials"):
        yield _NEW + "private-registry-authentication.secretsmanager"


def _of_container(container: Json) -> Iterator[tuple[Any, tuple[str, ...]]]:
    linux, firelens = container.get("linuxParameters", {}), container.get("firelensConfiguration", {})
    secrets = [":secretsmanager:" in one["valueFrom"] for one in container.get("secrets", ())]
    options = container.get("dockerSecurityOptions", ())
    yield container.get("memoryReservation"), (_DOCKER + "21",)
    yield container.get("readonlyRootFilesystem"), (_DOCKER + "17",)
    yield container.get("ulimits"), (_DOCKER + "18",)
    yield container.get("privileged"), (_OLD + "privileged-container",)
    yield any(one.startswith("label:") for one in options), (_OLD + "selinux",)
    yield any(one.startswith("apparmor:") for one in options), (_OLD + "apparmor",)
    yield container.get("healthCheck"), (_NEW + "container-health-check", _DOCKER + "24")
    yield container.get("healthCheck", {}).get("startPeriod"), (_DOCKER + "29",)
    ordered = any(member in container for member in ("dependsOn", "startTimeout", "stopTimeout"))
    yield ordered, (_NEW + "container-ordering",)
    yield any(not of_asm for of_asm in secrets), (_NEW + "secrets.ssm.environment-variables",)
    yield any(secrets), (_NEW + "secrets.asm.environment-variables",)
    yield container.get("environmentFiles"), (_NEW + "env-files.s3", _DOCKER + "29")
    yield container.get("restartPolicy"), (_NEW + "container-restart-policy",)
    yield linux.get("initProcessEnabled"), (_DOCKER + "25",)
    yield linux.get("sharedMemorySize") or linux.get("tmpfs"), (_DOCKER + "22",)
    ranged = any("containerPortRange" in one for one in container.get("portMappings", ()))
    yield ranged, (_NEW + "network.container-port-range",)
    yield firelens, (f"{_NEW}firelens.{firelens.get('type')}",)
    source = firelens.get("options", {}).get("config-file-type")
    yield source, (f"{_NEW}firelens.options.config.{source}",)


def _of_task(params: Json, mode: str) -> Iterator[tuple[Any, tuple[str, ...]]]:
    volumes, requires = params.get("volumes", ()), params.get("requiresCompatibilities", ())
    suffix = "task-iam-role-network-host" if mode == "host" else "task-iam-role"
    yield params.get("taskRoleArn"), (_OLD + suffix,)
    yield params.get("pidMode") or params.get("ipcMode"), (_NEW + "pid-ipc-namespace-sharing",)
    yield params.get("proxyConfiguration"), (_NEW + "aws-appmesh",)
    yield params.get("ephemeralStorage"), (_NEW + "extensible-ephemeral-storage", _DOCKER + "28")
    yield params.get("enableFaultInjection"), (_NEW + "fault-injection",)
    yield any("efsVolumeConfiguration" in one for one in volumes), (_NEW + "efs",)
    yield any("authorizationConfig" in one.get("efsVolumeConfiguration", {}) for one in volumes), (_NEW + "efsAuth",)
    yield any("fsxWindowsFileServerVolumeConfiguration" in one for one in volumes), (_NEW + "fsxWindowsFileServer",)
    drivers = {one["dockerVolumeConfiguration"].get("driver", "local") for one in volumes if _is_docker(one)}
    yield drivers, tuple(f"{_NEW}docker-plugin.{one}" for one in sorted(drivers))
    sized = (params.get("cpu") or params.get("memory")) and "FARGATE" not in requires
    yield sized, (_NEW + "task-cpu-mem-limit",)
    yield mode == "awsvpc", (_DOCKER + "18", _NEW + "task-eni")


def _is_docker(volume: Json) -> bool:
    return "dockerVolumeConfiguration" in volume
