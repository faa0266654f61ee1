"""A container of a task as a container of a pod. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kecs.controlplane.kubernetes import health, networking, volumes
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import Resolved
from kecs.controlplane.kubernetes.names import container_name, digest, gate_name, secret_name
from kecs.controlplane.kubernetes.networking import HostPorts
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]

_ROOT: Final = {"root": "0"}
"""Users by name whose number is the same in every image."""
SECURITY_OPTION: Final = re.compile(r"no-new-privileges(?::true)?|label:(user|role|type|level):(.+)")
"""What can be said of Docker's security options."""


def container(
    given: Json,
    *,
    launch: Launch,
    containers: Sequence[Json],
    config: PodConfig,
    resolved: Resolved,
    chosen: HostPorts,
    surroundings: Mapping[str, str],
) -> Json:
    """Return one container; `surroundings` are the variables that ECS itself gives it."""
    found: Json = {
        "name": container_name(given["name"]),
        "image": image(given["image"], config),
        "env": _environment(given, launch, resolved, surroundings),
        "securityContext": security(given),
        "ports": networking.ports(given, chosen, launch.definition.network_mode),
        "volumeMounts": volumes.mounts(given, launch, containers),
        "command": [_literal(word) for word in given.get("entryPoint") or ()],
        "args": [_literal(word) for word in given.get("command") or ()],
        "workingDir": given.get("workingDirectory") or "",
        "readinessProbe": health.probe(given),
        "imagePullPolicy": config.image_pull_policy,
    }
    if given.get("interactive"):
        found["stdin"] = True
    if given.get("pseudoTerminal"):
        found["tty"] = True
    if given.get("dependsOn"):
        found["envFrom"] = [{"configMapRef": {"name": gate_name(launch.task.id, given["name"])}}]
    return {name: value for name, value in found.items() if value not in ("", [], {})}


def image(name: str, config: PodConfig) -> str:
    """Return where an image is pulled from."""
    registry, slash, rest = name.partition("/")
    if not slash:
        return name
    ecr = ".dkr.ecr." in registry
    instead = config.registries.get(registry) or (config.registries.get("*.dkr.ecr") if ecr else None)
    return f"{instead}/{rest}" if instead else name


def security(given: Json) -> Json:
    """Return a container's securityContext."""
    found: Json = {}
    user, _, group = str(given.get("user") or "").partition(":")
    user, group = _ROOT.get(user, user), _ROOT.get(group, group)
    if user.isdecimal():
        found["runAsUser"] = int(user)
    if group.isdecimal():
        found["runAsGroup"] = int(group)
    if given.get("privileged"):
        found["privileged"] = True
    if given.get("readonlyRootFilesystem"):
        found["readOnlyRootFilesystem"] = True
    said = (given.get("linuxParameters") or {}).get("capabilities") or {}
    if capabilities := {name: list(said[name]) for name in ("add", "drop") if said.get(name)}:
        found["capabilities"] = capabilities
    return found | _security_options(given)


def _security_options(given: Json) -> Json:
    found: Json = {}
    for option in given.get("dockerSecurityOptions") or ():
        said = SECURITY_OPTION.fullmatch(option)
        if said and said[1]:
            found.setdefault("seLinuxOptions", {})[said[1]] = said[2]
        elif said and not given.get(
            "privileged"
        ):  # who is privileged has nothing left to gain: Kubernetes refuses both
            found["allowPrivilegeEscalation"] = False
    return found


def _environment(given: Json, launch: Launch, resolved: Resolved, surroundings: Mapping[str, str]) -> list[Json]:
    """Return variables, the strongest last, each once: ECS's own, files, `environment`, secrets."""
    variables: dict[str, Json] = {name: {"value": value} for name, value in surroundings.items()}
    secret = secret_name(launch.task.id)
    for name in resolved.files.get(given["name"], {}):
        variables[name] = _from(secret, secret_key(given["name"], name))
    for one in given.get("environment") or ():
        variables[one["name"]] = {"value": _literal(str(one.get("value", "")))}
    for one in given.get("secrets") or ():
        variables[one["name"]] = _from(secret, secret_key(given["name"], one["name"]))
    return [{"name": name, **value} for name, value in variables.items()]


def _literal(value: str) -> str:
    """Spell a text so that it stays as it is: to Kubernetes, unlike ECS, `$(NAME)` is a variable and `$$` a dollar."""
    return value.replace("$", "$$") if "$(" in value or "$$" in value else value


def secret_key(container: str, variable: str) -> str:
    """Return under which key of the task's Secret a variable stands: its characters are fewer than a variable's."""
    return digest(f"{container}\n{variable}", 32)


def _from(secret: str, key: str) -> Json:
    return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def secret_values(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield keys and values of the task's Secret."""
    for kind in (resolved.files, resolved.secrets):
        for container, variables in kind.items():
            for name, value in variables.items():
                yield secret_key(container, name), value
