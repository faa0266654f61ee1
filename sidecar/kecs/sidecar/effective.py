"""What holds of what a sidecar was told, and who said so: its configuration, a variable, or nobody. Pure.

A variable is stronger than the configuration, so that one sidecar can be given another limit without the injector. Its
name is that of the setting `relay.*`: KECS_RELAY_IDLE_TIMEOUT for relay.idleTimeout.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from kecs.core.errors import ConfigError
from kecs.relay import config as relay_config
from kecs.sidecar import config as sidecar_config
from kecs.sidecar.config import SidecarConfig, json_object

CONFIG: Final = "KECS_SIDECAR_CONFIG"
_DEFAULT: Final = "default"
_LISTS: Final = ("accounts", "engine_hosts")
_OWN: Final = (*sidecar_config.BOUNDS, "ready_needs_backend", *_LISTS)
_SECRET: Final = ("token", "secret", "password", "key", "credential")
_MASK: Final = "***"
_SWITCHES: Final[Mapping[str, bool]] = {"true": True, "false": False}


def variable(name: str) -> str:
    """Return the variable that sets a limit: the setting's path in capitals."""
    return f"KECS_RELAY_{name.removesuffix('_s').upper()}"


VARIABLES: Final[Mapping[str, str]] = {variable(name): name for name in (*_OWN, *relay_config.BOUNDS)}
"""By variable, the name in the configuration; limits of the relay stand in its part `relay`."""


def _read(name: str, text: str, source: str) -> Any:
    if name == "ready_needs_backend":
        if text not in _SWITCHES:
            raise ConfigError(f"{source} is {text!r}", hint="true or false")
        return _SWITCHES[text]
    if name in _LISTS:
        return [one.strip() for one in text.split(",")]
    if name == "workers" and text == "auto":
        return 0
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ConfigError(f"{source} is {text!r}", hint="give a number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The configuration that holds, and where its values came from."""

    config: SidecarConfig
    sources: Mapping[str, str]
    """By name (`relay.` before those of the relay): KECS_SIDECAR_CONFIG, another variable, or default."""

    @classmethod
    def read(cls, text: str, environment: Mapping[str, str]) -> Self:
        """Read the configuration and the variables; raise ConfigError naming what is wrong and where it stands."""
        given = json_object(text)
        if isinstance(given.get("task"), dict) and environment.get("POD_IP"):
            given["task"] = {"address": environment["POD_IP"], **given["task"]}
        # what is wrong in the configuration is said of it, even where a variable would hide it
        SidecarConfig.from_mapping(given)
        sources = {name: CONFIG for name in given if name != "relay"}
        limits = dict(given.get("relay", {}))
        sources |= {f"relay.{name}": CONFIG for name in limits}
        for source, name in VARIABLES.items():
            if not environment.get(source):
                continue
            target, prefix = (given, "") if name in _OWN else (limits, "relay.")
            target[name] = _read(name, environment[source], source)
            _check({**given, "relay": limits}, source)
            sources[f"{prefix}{name}"] = source
        return cls(config=SidecarConfig.from_mapping({**given, "relay": limits}), sources=sources)

    def described(self) -> dict[str, Any]:
        """Return every value with its source; what may be a secret is masked."""
        values = asdict(self.config) | {"task": self.config.task.task_arn}
        limits = values.pop("relay")
        flat = values | {f"relay.{name}": value for name, value in limits.items()}
        return {
            name: {"value": _shown(name, value), "source": self.sources.get(name, _DEFAULT)}
            for name, value in flat.items()
        }


def _check(given: Mapping[str, Any], source: str) -> None:
    try:
        SidecarConfig.from_mapping(given)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.message}", hint=error.hint) from error


def _shown(name: str, value: Any) -> Any:
    words = name.rpartition(".")[2].split("_")
    if value and any(word in _SECRET for word in words):
        return _MASK
    return list(value) if isinstance(value, tuple) else value
