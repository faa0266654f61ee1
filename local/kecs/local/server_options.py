"""What `kecs server` was asked for, as values, and what its parts are told. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kecs.controlplane.config import ControlPlaneConfig, RuntimeKind
from kecs.core.backends import BackendProfile
from kecs.core.errors import MachineError
from kecs.core.settings import LogLevel
from kecs.core.settings_loading import Loaded
from kecs.emulator.backend import Backend
from kecs.gateway.config import GatewayConfig
from kecs.relay.config import RelayConfig

_STATE: Final = "state.duckdb"
_AUTHORITY: Final = "gateway-authority"
_DRAIN_S: Final = 5.0
_SOURCES: Final[Mapping[str, str]] = {
    "data": "server.dataDir",
    "runtime": "controlplane.runtime",
    "kubeconfig": "controlplane.kubeconfig",
    "region": "controlplane.region",
    "account": "controlplane.account",
    "accounts": "relay.accounts",
    "history_hours": "controlplane.historyHours",
    "emulator": "gateway.backend",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """One `kecs server`."""

    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 8081
    api_port: int = 4566
    directory: Path
    """Where state is kept."""
    emulator: bool = True
    """Somebody answers other services than ECS."""
    backend: str = ""
    """URL of that emulator; empty for the embedded one."""
    profile: BackendProfile = BackendProfile.AUTO
    log_level: LogLevel = LogLevel.INFO
    runtime: RuntimeKind = RuntimeKind.AUTO
    kubeconfig: str = ""
    region: str
    account: str
    accounts: tuple[str, ...] = ()
    history_hours: int = 1
    pods: Mapping[str, str] = field(default_factory=dict)
    relay: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> Path:
        """Where the authority of the gateway's own names is."""
        return self.directory / _AUTHORITY

    @classmethod
    def of(cls, loaded: Loaded, environ: Mapping[str, str]) -> "ServerOptions":
        """Take them from the settings."""
        settings = loaded.settings
        server, plane = settings.server, settings.controlplane
        return cls(
            host=server.host,
            port=server.port,
            admin_port=server.admin_port,
            api_port=server.api_port,
            directory=data_directory(server.data_dir, environ),
            emulator=settings.localstack.enabled,
            backend=settings.gateway.backend,
            profile=settings.gateway.profile,
            log_level=server.log_level,
            runtime=RuntimeKind(plane.runtime),
            kubeconfig=plane.kubeconfig,
            region=plane.region or "us-east-1",
            account=plane.account,
            accounts=settings.relay.accounts,
            history_hours=plane.history_hours,
            pods=plane.pods(),
            relay=settings.relay.told().get("relay", {}),
            sources={name: str(loaded.origin(path)) for name, path in _SOURCES.items()},
        )

    def controlplane(self, emulator: Backend | None, gateway: Backend, instance: str) -> ControlPlaneConfig:
        """Return what the control plane is told; `instance` tells its tasks from those of others in a cluster."""
        return ControlPlaneConfig(
            data=str(self.directory / _STATE),
            runtime=self.runtime,
            kubeconfig=self.kubeconfig,
            region=self.region,
            account=self.account,
            accounts=self.accounts,
            emulator=str(emulator) if emulator else "",
            gateway=str(gateway),
            history_hours=self.history_hours,
            drain_timeout_s=_DRAIN_S,
            pods={"instance": instance, **self.pods},
            sources=self.sources,
        )

    def gateway(self, emulator: Backend | None, profile: str, controlplane: Backend) -> GatewayConfig:
        """Return what the gateway is told."""
        return GatewayConfig(
            backend_host=emulator.host if emulator else "",
            backend_port=emulator.port if emulator else 0,
            backend_tls=emulator is not None and emulator.scheme == "https",
            profile=profile,
            controlplane_host=controlplane.host,
            controlplane_port=controlplane.port,
            region=self.region,
            accounts=self.accounts,
            drain_timeout_s=_DRAIN_S,
            relay=RelayConfig.from_mapping(dict(self.relay)),
        )


def data_directory(given: str, environ: Mapping[str, str]) -> Path:
    """Say where state is kept. A relative XDG_DATA_HOME is ignored, as its specification asks."""
    if given and not given.startswith("~/"):
        return Path(given)
    home = environ.get("HOME", "")
    if given:
        if not home.startswith("/"):
            raise MachineError(f"server.dataDir is {given}, and HOME is no absolute path", hint="give the whole path")
        return Path(home, given[2:])
    for base, below in ((environ.get("XDG_DATA_HOME", ""), "kecs/server"), (home, ".local/share/kecs/server")):
        if base.startswith("/"):
            return Path(base, below)
    raise MachineError(
        "there is no place for the state: neither XDG_DATA_HOME nor HOME is an absolute path",
        hint="name a directory with --data-dir",
    )
