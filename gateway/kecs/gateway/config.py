"""What a gateway is told once, at its start. Plain data: it travels as one JSON object between processes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from kecs.aws.accounts import Accounts
from kecs.aws.profiles import PROFILES, Profile
from kecs.calls.endpoints import check_endpoint, is_loopback
from kecs.core.errors import ConfigError
from kecs.core.names import DEFAULT_REGION
from kecs.relay.config import RelayConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Who answers calls, and how much of them at once."""

    backend_host: str
    backend_port: int
    backend_tls: bool = False
    """Speak TLS to the backend, and verify its name."""
    profile: str = "generic"
    """A name of `kecs.aws.profiles.PROFILES`."""
    controlplane_host: str = ""
    """Where ECS calls go; empty: to the backend like all others."""
    controlplane_port: int = 0
    controlplane_tls: bool = False
    """Speak TLS to the control plane, and verify its name."""
    region: str = DEFAULT_REGION
    """Of requests that name none."""
    accounts: tuple[str, ...] = ()
    """Whose resources calls are about, by access key: see the sidecar's."""
    drain_timeout_s: float = 25.0
    """How long requests may take to finish after SIGTERM."""
    relay: RelayConfig = field(default=RelayConfig())

    def __post_init__(self) -> None:
        check_endpoint("backend", self.backend_host, self.backend_port)
        if self.controlplane_host or self.controlplane_port:
            check_endpoint("controlplane", self.controlplane_host, self.controlplane_port)
        if self.profile not in PROFILES:
            raise ConfigError(f"profile {self.profile!r} is unknown", hint=f"one of {', '.join(PROFILES)}")
        try:
            Accounts.parse(self.accounts)
        except ValueError as error:
            raise ConfigError(f"accounts: {error}", hint="an access key or *, =, and twelve digits") from error

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

    def to_json(self) -> str:
        """Spell it as one line that `from_json` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ConfigError for anything unknown or of the wrong type."""
        try:
            given = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"the gateway's configuration is no JSON: {error}") from error
        if not isinstance(given, dict):
            raise ConfigError(f"the gateway's configuration is no JSON object but {type(given).__name__}")
        return cls.from_mapping(given)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Read values by their names; raise ConfigError for anything unknown or of the wrong type."""
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ConfigError(
                f"the gateway's configuration has no {', '.join(map(repr, unknown))}", hint=f"it has {', '.join(known)}"
            )
        missing = [name for name in ("backend_host", "backend_port") if name not in given]
        if missing:
            raise ConfigError(f"the gateway's configuration lacks {', '.join(missing)}")
        return cls(**{key: _typed(key, value) for key, value in given.items()})


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "backend_port": (int,),
    "controlplane_port": (int,),
    "backend_tls": (bool,),
    "controlplane_tls": (bool,),
    "drain_timeout_s": (int, float),
}


def _typed(key: str, value: Any) -> Any:
    if key == "relay":
        if not isinstance(value, dict):
            raise ConfigError(f"relay {value!r} is no object of limits")
        return RelayConfig.from_mapping(value)
    if key == "accounts":
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"accounts {value!r} is no list of entries")
        return tuple(value)
    wanted = _TYPES.get(key, (str,))
    if type(value) not in wanted:  # a bool is an int, but no port
        raise ConfigError(f"{key} {value!r} is no {wanted[0].__name__}")
    return value
