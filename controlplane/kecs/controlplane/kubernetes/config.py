"""What the operator says about how tasks run on a cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from kecs.core.errors import ConfigError

_INSTANCE: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?")
_MODES: Final = ("sidecar", "environment", "auto", "disabled", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodConfig:
    """See the module. The defaults fit a cluster that has the injector."""

    instance: str = ""
    """Which control plane of the cluster this is; empty: the one that is the cluster's own."""
    proxy_mode: str = "sidecar"
    """How tasks reach AWS: a value of `kecs.io/aws-proxy-mode`; empty leaves it to the namespace."""
    pod_resources: bool = True
    """Whether resources of whole pods are made use of, where the API server takes them: from 1.34 on."""
    sidecar_memory_mib: int = 128
    """What the proxy may take besides the task's own memory, where the task's limit is the pod's."""
    sidecar_cpu_units: int = 256
    """The same of CPU: 1,024 to a CPU."""
    service_account: str = ""
    image_pull_policy: str = ""
    registries: Mapping[str, str] = field(default_factory=dict)
    """What stands for a registry in images' names: `123456789012.dkr.ecr.us-east-1.amazonaws.com` to one within reach.
    `*.dkr.ecr` stands for every ECR registry."""
    storage_class: str = ""
    """Of the claims that file systems of EFS and volumes of EBS become; empty: the cluster's default."""
    shared_volumes: str = "/var/lib/kecs/volumes"
    """Where on a node Docker volumes of scope `shared` lie."""
    priority_class: str = ""

    def __post_init__(self) -> None:
        if self.proxy_mode not in _MODES:
            raise ConfigError(f"proxy_mode is {self.proxy_mode!r}", hint=f"one of {', '.join(filter(None, _MODES))}")
        if not _INSTANCE.fullmatch(self.instance):
            raise ConfigError(f"instance is {self.instance!r}", hint="lower-case letters, digits, hyphens: 63 at most")
        if min(self.sidecar_memory_mib, self.sidecar_cpu_units) < 0:
            raise ConfigError("what the proxy may take is negative", hint="0 or more")

    @classmethod
    def from_mapping(cls, given: Mapping[str, str]) -> Self:
        """Read values as texts by their names; `registries` are FROM=TO with commas between them."""
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ConfigError(f"pods has no {', '.join(unknown)}", hint=f"it has {', '.join(sorted(known))}")
        return cls(**{name: _read(name, value) for name, value in given.items()})


_SWITCHES: Final = {"true": True, "false": False}


def _read(name: str, value: str) -> Any:
    match name:
        case "pod_resources" if value in _SWITCHES:
            return _SWITCHES[value]
        case "sidecar_memory_mib" | "sidecar_cpu_units" if value.isdecimal():
            return int(value)
        case "registries" if all("=" in one for one in value.split(",") if one.strip()):
            pairs = (one.strip().partition("=") for one in value.split(",") if one.strip())
            return {registry: instead for registry, _, instead in pairs}
        case "pod_resources" | "sidecar_memory_mib" | "sidecar_cpu_units" | "registries":
            raise ConfigError(f"pods.{name} is {value!r}", hint=_HINTS[name])
        case _:
            return value


_HINTS: Final = {
    "pod_resources": "true or false",
    "sidecar_memory_mib": "a number of MiB",
    "sidecar_cpu_units": "a number of units, 1024 to a CPU",
    "registries": "FROM=TO, separated by commas",
}
