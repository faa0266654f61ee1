"""What is wrong with one container of a task definition, looked at alone. Pure.

Sentences are AWS's where a refusal of AWS's own is known, as clients and people's scripts look for them; else they say
in the same manner what is wrong.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

type Json = Mapping[str, Any]
type Check = Callable[[Json], Iterator[str]]

LONGEST_NAME: Final = 255
NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_IMAGE = re.compile(r"[A-Za-z0-9_.:/#@+-]+")
_SSM_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,2048}")
_SSM_ARN = re.compile(r"arn:[a-z-]+:ssm:[a-z0-9-]+:\d{12}:parameter/.+")
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^:]+(:[^:]*){0,3}")
_S3_OBJECT = re.compile(r"arn:[a-z-]+:s3:::[^/]+/.+")
_PORT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")

HIGHEST_PORT: Final = 65535
_MOST_FILES = 10
_MOST_RANGE = 100
_MOST_EXIT_CODES = 50
_LEAST_MEMORY = 4

_HEALTH_CHECK = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
_HEALTH_COMMANDS = ("CMD", "CMD-SHELL", "NONE")
_RESTART_PERIOD = (60, 1800)
_LEAST_TIMEOUT = 2
_SWAPPINESS = (0, 100)

_AWSLOGS_REQUIRES = ("awslogs-region", "awslogs-group")


def problems(container: Json) -> Iterator[str]:
    """Yield what is wrong, a sentence each, what AWS would say first first."""
    for check in _CHECKS:
        yield from check(container)


def name_problems(what: str, name: str | None) -> Iterator[str]:
    """Yield what is wrong with a name, of `Container.name` or `Family`."""
    if not name:
        yield f"{what} should not be null or empty."
    elif len(name) > LONGEST_NAME:
        yield f"{what} should not be longer than {LONGEST_NAME} characters."
    elif not NAME.fullmatch(name):
        yield f"{what} contains invalid characters."


def _identity(container: Json) -> Iterator[str]:
    yield from name_problems("Container.name", container.get("name"))
    image = container.get("image")
    if not image:
        yield "Container.image should not be null or empty."
    elif len(image) > LONGEST_NAME:
        yield f"Container.image should not be longer than {LONGEST_NAME} characters."
    elif not _IMAGE.fullmatch(image):
        yield "Container.image contains invalid characters."


def _resources(container: Json) -> Iterator[str]:
    name, memory, reserved = container["name"], container.get("memory"), container.get("memoryReservation")
    if container.get("cpu", 0) < 0:
        yield f"Invalid setting for container '{name}'. 'cpu' must not be negative."
    for member, given in (("memory", memory), ("memoryReservation", reserved)):
        if given is not None and given < _LEAST_MEMORY:
            yield f"Invalid setting for container '{name}'. '{member}' must be at least {_LEAST_MEMORY}."
    if memory is not None and reserved is not None and memory < reserved:
        yield f"Invalid setting for container '{name}'. 'memory' must be greater than or equal to 'memoryReservation'."
    for wanted in container.get("resourceRequirements", ()):
        value = wanted.get("value", "")
        if wanted["type"] == "GPU" and not (value.isdecimal() and int(value) > 0):
            yield f"Invalid GPU resource requirement '{value}' for container '{name}'."


def _ports(container: Json) -> Iterator[str]:
    name = container["name"]
    for mapping in container.get("portMappings", ()):
        single, ports = mapping.get("containerPort"), mapping.get("containerPortRange")
        if ports is not None and (single is not None or mapping.get("hostPort")):
            yield f"Invalid port mapping for container '{name}', cannot specify both single port and port range."
        if ports is not None and port_range(ports) is None:
            yield f"Invalid 'containerPortRange' setting for container '{name}'."
        if ports is None and not 0 < (single or 0) <= HIGHEST_PORT:
            yield f"Invalid 'containerPort' setting for container '{name}'."
        if not 0 <= mapping.get("hostPort", 0) <= HIGHEST_PORT:
            yield f"Invalid 'hostPort' setting for container '{name}'."
        if "name" in mapping and not _PORT_NAME.fullmatch(mapping["name"]):
            yield f"Invalid port mapping name '{mapping['name']}' for container '{name}'."


def port_range(given: str) -> range | None:
    """Return the ports of LOW-HIGH. None where it is no such range, or one of more ports than AWS maps."""
    found = _PORT_RANGE.fullmatch(given)
    if found is None:
        return None
    ports = range(int(found[1]), int(found[2]) + 1)
    return ports if 1 < len(ports) <= _MOST_RANGE and ports[0] > 0 and ports[-1] <= HIGHEST_PORT else None


def _health_check(container: Json) -> Iterator[str]:
    check, name = container.get("healthCheck"), container["name"]
    if check is None:
        return
    command = check.get("command") or [""]
    if command[0] not in _HEALTH_COMMANDS:
        yield f"Health check command must start with CMD or CMD-SHELL for container '{name}'"
    elif command[0] != "NONE" and len(command) < 2:  # noqa: PLR2004 - the word and what it runs
        yield f"Health check command must not be empty for container '{name}'"
    for member, (least, most) in _HEALTH_CHECK.items():
        given = check.get(member)
        if given is not None and given > most:
            yield (
                f"Health check {member} must be less than or equal to the maximum allowed value {most} "
                f"for container '{name}'"
            )
        elif given is not None and given < least:
            yield (
                f"Health check {member} must be greater than or equal to the minimum allowed value {least} "
                f"for container '{name}'"
            )


def _restart_policy(container: Json) -> Iterator[str]:
    policy, name = container.get("restartPolicy"), container["name"]
    if policy is None:
        return
    (least, most), period = _RESTART_PERIOD, policy.get("restartAttemptPeriod")
    if period is not None and not least <= period <= most:
        yield f"The 'restartAttemptPeriod' setting for container '{name}' must be between {least} and {most}."
    if len(policy.get("ignoredExitCodes", ())) > _MOST_EXIT_CODES:
        yield f"The 'ignoredExitCodes' setting for container '{name}' must have {_MOST_EXIT_CODES} exit codes or less."


def _timeouts(container: Json) -> Iterator[str]:
    for member, word in (("startTimeout", "start"), ("stopTimeout", "stop")):
        if container.get(member, _LEAST_TIMEOUT) < _LEAST_TIMEOUT:
            yield (
                f"Granular {word} timeout on container '{container['name']}' must be at least {_LEAST_TIMEOUT} seconds."
            )


def _ulimits(container: Json) -> Iterator[str]:
    seen: set[str] = set()
    for limit in container.get("ulimits", ()):
        name, soft, hard = limit["name"], limit["softLimit"], limit["hardLimit"]
        if name in seen:
            yield f"Duplicate ulimit {name} for container '{container['name']}'."
        seen.add(name)
        if hard != -1 and (soft > hard or soft == -1):
            yield f"Soft limit exceeds hard limit for ulimit {name}"


def _environment(container: Json) -> Iterator[str]:
    name = container["name"]
    if not all(pair.get("name") for pair in container.get("environment", ())):
        yield f"Invalid setting for container '{name}'. An environment variable's name should not be null or empty."
    files = container.get("environmentFiles", ())
    if len(files) > _MOST_FILES:
        yield "The maximum number of environment files was exceeded. Specify ten or less and try again."
    for file in files:
        if not _S3_OBJECT.fullmatch(file["value"]):
            yield "Invalid arn syntax."
        elif not file["value"].endswith(".env"):
            yield f"The environment file '{file['value']}' must have the file extension .env."


def _secrets(container: Json) -> Iterator[str]:
    taken = {pair["name"] for pair in container.get("environment", ()) if pair.get("name")}
    for secret in container.get("secrets", ()):
        if secret["name"] in taken:
            yield (
                "The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{secret['name']}'."
            )
        taken.add(secret["name"])
        yield from _source(secret)
    for secret in container.get("logConfiguration", {}).get("secretOptions", ()):
        yield from _source(secret)


def _source(secret: Json) -> Iterator[str]:
    given = secret["valueFrom"]
    if not any(form.fullmatch(given) for form in (_SSM_ARN, _SECRET_ARN, _SSM_NAME)):
        yield (
            f"The Systems Manager parameter name specified for secret {secret['name']} is invalid. The parameter name "
            "can be up to 2048 characters and include the following letters and symbols: a-zA-Z0-9_.-"
        )


def _logs(container: Json) -> Iterator[str]:
    logs = container.get("logConfiguration")
    if logs is not None and logs["logDriver"] == "awslogs":
        missing = [option for option in _AWSLOGS_REQUIRES if not logs.get("options", {}).get(option)]
        if missing:
            yield f"Log driver awslogs requires options: {', '.join(missing)}"


def _linux_parameters(container: Json) -> Iterator[str]:
    given, name = container.get("linuxParameters", {}), container["name"]
    least, most = _SWAPPINESS
    if not least <= given.get("swappiness", least) <= most:
        yield f"The 'swappiness' setting for container '{name}' must be between {least} and {most}."
    if given.get("maxSwap", 0) < 0:
        yield f"The 'maxSwap' setting for container '{name}' must not be negative."
    if given.get("sharedMemorySize", 1) <= 0:
        yield f"The 'sharedMemorySize' setting for container '{name}' must be greater than 0."
    for mount in given.get("tmpfs", ()):
        if mount["size"] <= 0:
            yield f"The size of tmpfs '{mount['containerPath']}' for container '{name}' must be greater than 0."
        if not mount["containerPath"].startswith("/"):
            yield f"The containerPath of tmpfs '{mount['containerPath']}' for container '{name}' must be absolute."


def _system_controls(container: Json) -> Iterator[str]:
    seen: set[str] = set()
    for control in container.get("systemControls", ()):
        namespace = control.get("namespace") or ""
        if not namespace or control.get("value") is None:
            yield f"A system control of container '{container['name']}' must have both namespace and value."
        elif namespace in seen:
            yield f"Duplicate system control '{namespace}' for container '{container['name']}'."
        seen.add(namespace)


_CHECKS: tuple[Check, ...] = (
    _identity,
    _resources,
    _ports,
    _health_check,
    _restart_policy,
    _timeouts,
    _ulimits,
    _environment,
    _secrets,
    _logs,
    _linux_parameters,
    _system_controls,
)
