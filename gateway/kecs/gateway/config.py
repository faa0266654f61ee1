"""What a gateway is told once, at its start. Plain data: it travels as one JSON object between processes."""

from dataclasses import dataclass, field
from typing import Self

from kecs.aws.accounts import Accounts
from kecs.aws.profiles import PROFILES, Profile
from kecs.calls.endpoints import check_endpoint, is_loopback
from kecs.core import told
from kecs.core.errors import ConfigError
from kecs.core.names import DEFAULT_REGION
from kecs.relay.config import RelayConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Who answers calls, and how much of them at once."""

    backend_host: str = ""
    """Empty: nobody but the control plane answers."""
    backend_port: int = 0
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
        if self.backend_host or self.backend_port or not self.controlplane_host:
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
        return told.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ConfigError for anything unknown or of the wrong type."""
        return told.from_json(cls, text, what="the gateway's configuration")
