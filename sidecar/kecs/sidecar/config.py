"""What a sidecar is told once, at its start. Plain data: it travels as one JSON object between processes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

from kecs.aws.accounts import Accounts
from kecs.aws.hosts import normalise
from kecs.aws.profiles import PROFILES, Profile
from kecs.calls.endpoints import PORTS, check_endpoint, is_loopback
from kecs.core.errors import ConfigError
from kecs.core.names import DEFAULT_ACCOUNT, DEFAULT_REGION
from kecs.relay.config import RelayConfig
from kecs.sidecar import engine_hosts
from kecs.sidecar.task import Task

_ACCOUNT_DIGITS: Final = 12
_AUTO: Final = "auto"

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "workers": (0, 64),
    "drain_timeout_s": (0, 3600),
    "drain_quiet_s": (0, 60),
    "engine_idle_s": (0, 86400),
}
"""The least and the most that each may be."""


class EngineMode(StrEnum):
    """What the second engine, mitmproxy, is for."""

    OFF = "off"
    """Clients that offer no HTTP/1.1 are answered HTTP/1.1 nonetheless."""
    ON_DEMAND = "on-demand"
    """Clients that offer no HTTP/1.1 are handed over; it starts with the first."""
    INSPECT = "inspect"
    """Every AWS connection goes through it, to be looked at in a browser."""
    WATCH = "watch"
    """Every AWS connection goes through it, to be recorded or for addons; there is no page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarConfig:
    """Who answers AWS calls, and what the metadata endpoints say."""

    backend_host: str
    backend_port: int
    backend_tls: bool = False
    """Speak TLS to the backend, and verify its name."""
    profile: str = "generic"
    """A name of `kecs.aws.profiles.PROFILES`."""
    backend_found: str = ""
    """What the backend said that it is, for `/config`; empty where it was not asked."""
    controlplane_host: str = ""
    """Where ECS calls go; empty: to the backend like all others."""
    controlplane_port: int = 0
    controlplane_tls: bool = False
    """Speak TLS to the control plane, and verify its name."""
    region: str = DEFAULT_REGION
    account: str = DEFAULT_ACCOUNT
    accounts: tuple[str, ...] = ()
    """Whose resources calls are about, by access key: AKIAIOSFODNN7EXAMPLE=111122223333, or * for all keys that are
    not named. Without it the backend decides."""
    role: str = "kecs"
    """The name of the role whose credentials the metadata endpoints hand out."""
    task: Task = field(default=Task())
    """The ECS task that this pod is."""
    pass_hosts: tuple[str, ...] = ()
    """AWS names that are passed undecrypted, exact or with a leading `*.`."""
    engine: EngineMode = EngineMode.ON_DEMAND
    engine_hosts: tuple[str, ...] = ()
    """AWS names that are handed to the engine, and answered HTTP/2 there where clients offer it. A * stands for any
    one label."""
    engine_idle_s: float = 60.0
    """The engine ends after this long without a connection; 0: it stays. One that is watched stays in any case."""
    page_port: int = 0
    """Where on loopback the page is served when the engine is `inspect`; 0: where the kernel chooses."""
    record: str = ""
    """A file that calls are written to, absolute; empty: none. See `kecs.sidecar.recording`."""
    addons: tuple[str, ...] = ()
    """Files of mitmproxy addons, absolute."""
    unredacted: bool = False
    """Show and record secrets too."""
    dns_capture: bool = True
    """Answer AWS names ourselves; else DNS is only forwarded."""
    workers: int = 1
    """Processes that carry connections; 0 (in JSON also "auto"): as many as there are CPUs."""
    drain_timeout_s: float = 25.0
    """How long requests may take to finish after SIGTERM. Kubernetes gives a pod 30 s by default, for all of it."""
    drain_quiet_s: float = 0.5
    """A drain ends when nothing was open for so long. Kubernetes ends sidecars after the containers they serve."""
    ready_needs_backend: bool = False
    """Be unready while the backend can't be reached. A native sidecar's readiness is its pod's, so it is only told of
    otherwise."""
    relay: RelayConfig = field(default=RelayConfig())

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)!r}", hint=f"from {least:g} to {most:g}")
        check_endpoint("backend", self.backend_host, self.backend_port)
        if self.controlplane_host or self.controlplane_port:
            check_endpoint("controlplane", self.controlplane_host, self.controlplane_port)
        elif self.controlplane_tls:
            raise ConfigError(
                "controlplane_tls is true, and there is no controlplane_host",
                hint="name the control plane, or leave it out",
            )
        if self.profile not in PROFILES:
            raise ConfigError(f"profile {self.profile!r} is unknown", hint=f"one of {', '.join(PROFILES)}")
        if len(self.account) != _ACCOUNT_DIGITS or not (self.account.isascii() and self.account.isdigit()):
            raise ConfigError(f"account {self.account!r} is no account number", hint="twelve digits")
        try:
            Accounts.parse(self.accounts)
        except ValueError as error:
            raise ConfigError(f"accounts: {error}", hint="an access key or *, =, and twelve digits") from error
        self._check_watched()
        self._check_engine_hosts()
        for name in self.pass_hosts:
            if not normalise(name.removeprefix("*.")):
                raise ConfigError(f"pass_hosts: {name!r} is no host name", hint="a name, or *. and a name")

    def _check_engine_hosts(self) -> None:
        for pattern in self.engine_hosts:
            engine_hosts.check(pattern)
        if self.engine_hosts and self.engine is EngineMode.OFF:
            raise ConfigError("engine_hosts is given, and the engine is off", hint="on-demand, inspect or watch")

    def _check_watched(self) -> None:
        for path in (*self.addons, *([self.record] if self.record else [])):
            if not path.startswith("/"):
                raise ConfigError(f"{path!r} is no absolute path", hint="addons and record begin with /")
        if not 0 <= self.page_port < PORTS.stop:
            raise ConfigError(f"page_port {self.page_port} is no port", hint="1 to 65535, or 0")
        watched = self.engine in (EngineMode.INSPECT, EngineMode.WATCH)
        for key, given in (("record", self.record), ("addons", self.addons)):
            if given and not watched:
                raise ConfigError(f"{key} is given, and the engine is {self.engine}", hint="inspect or watch")

    @property
    def backend_profile(self) -> Profile:
        """What is known of the backend."""
        return PROFILES[self.profile]

    @property
    def backend_is_local(self) -> bool:
        """Tell whether what is sent to the backend stays on this machine."""
        return is_loopback(self.backend_host)

    @property
    def controlplane_is_local(self) -> bool:
        """Tell whether what is sent to the control plane stays on this machine."""
        return is_loopback(self.controlplane_host)

    def passes(self, name: str) -> bool:
        """Tell whether this AWS name was asked to be passed undecrypted."""
        for asked in self.pass_hosts:
            wanted = normalise(asked.removeprefix("*."))
            if name == wanted if not asked.startswith("*.") else name.endswith(f".{wanted}"):
                return True
        return False

    def to_json(self) -> str:
        """Spell it as one line that `from_json` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ConfigError for anything unknown or of the wrong type."""
        return cls.from_mapping(json_object(text))

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read values by their names; raise ConfigError for anything unknown or of the wrong type."""
        known = {field.name: field for field in fields(cls)}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ConfigError(
                f"the sidecar's configuration has no {', '.join(map(repr, unknown))}", hint=f"it has {', '.join(known)}"
            )
        missing = [name for name in ("backend_host", "backend_port") if name not in given]
        if missing:
            raise ConfigError(f"the sidecar's configuration lacks {', '.join(missing)}")
        return cls(**{key: _typed(key, value) for key, value in given.items()})


def json_object(text: str) -> dict[str, Any]:
    """Read one JSON object; raise ConfigError for anything else."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the sidecar's configuration is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise ConfigError(f"the sidecar's configuration is no JSON object but {type(given).__name__}")
    return given


_TYPES: Final[dict[str, type]] = {
    "backend_port": int,
    "controlplane_port": int,
    "page_port": int,
    "unredacted": bool,
    "backend_tls": bool,
    "controlplane_tls": bool,
    "dns_capture": bool,
    "ready_needs_backend": bool,
}

_LISTS: Final = {"accounts": "entries", "pass_hosts": "names", "engine_hosts": "patterns", "addons": "paths"}


def _typed(key: str, value: Any) -> Any:
    if key in BOUNDS:
        return _number(key, value)
    if key == "relay":
        if not isinstance(value, dict):
            raise ConfigError(f"relay {value!r} is no object of limits")
        return RelayConfig.from_mapping(value)
    if key == "task":
        return Task.from_mapping(value)
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{key} {value!r} is no list of {_LISTS[key]}")
        return tuple(value)
    wanted = _TYPES.get(key, str)
    if type(value) is not wanted:  # a bool is an int, but no port
        raise ConfigError(f"{key} {value!r} is no {wanted.__name__}")
    if key != "engine":
        return value
    try:
        return EngineMode(str(value))
    except ValueError as error:
        raise ConfigError(f"engine {value!r} is unknown", hint=f"one of {', '.join(EngineMode)}") from error


def _number(key: str, value: Any) -> int | float:
    if key == "workers" and value == _AUTO:
        return 0
    wanted = (int,) if key == "workers" else (int, float)
    if type(value) not in wanted:
        kind = f'whole number and not "{_AUTO}"' if key == "workers" else "number of seconds"
        raise ConfigError(f"{key} {value!r} is no {kind}")
    return value  # type: ignore[no-any-return]  # its type was just looked at
