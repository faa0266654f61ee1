"""What the init container is told: read from its environment, checked, never guessed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from kecs.core.errors import ConfigError
from kecs.core.names import DNS_PORT, PROXY_GID, PROXY_UID, RELAY_PORT


class BackendChoice(StrEnum):
    """Which kernel interface the rules go to."""

    AUTO = "auto"
    """The one that is in use, else nft, else legacy."""
    NFT = "nft"
    LEGACY = "legacy"


class IPv6(StrEnum):
    """What to do about IPv6."""

    AUTO = "auto"
    """Write rules where the kernel has it; failing to is an error, or calls would leave by it."""
    OFF = "off"
    """Write none: whoever says so knows that the pod has no IPv6 address."""


_SWITCH: Final[Mapping[str, bool]] = {"true": True, "false": False}
_PORT_LIMIT: Final = 65535
_ID_LIMIT: Final = 0xFFFFFFFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Whom the rules exempt, and where they send what they catch."""

    uid: int = PROXY_UID
    gid: int = PROXY_GID
    relay_port: int = RELAY_PORT
    dns_port: int = DNS_PORT
    capture_dns: bool = False

    def __post_init__(self) -> None:
        """Refuse what iptables would misread: ids and ports are numbers within their ranges."""
        _check_range("uid", self.uid, 1, _ID_LIMIT)
        _check_range("gid", self.gid, 1, _ID_LIMIT)
        _check_range("relay port", self.relay_port, 1, _PORT_LIMIT)
        _check_range("DNS port", self.dns_port, 1, _PORT_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the environment says."""

    redirect: Redirect
    backend: BackendChoice
    ipv6: IPv6
    trust_roots: bytes
    """PEM; empty where rules alone are asked for."""
    trust_directory: Path
    public_roots: Path


def from_environment(environ: Mapping[str, str]) -> Config:
    """Read the `KECS_…` variables; raise ConfigError with the variable and its value."""
    return Config(
        redirect=Redirect(capture_dns=_SWITCH[_one_of(environ, "KECS_DNS_CAPTURE", "false", _SWITCH)]),
        backend=BackendChoice(_one_of(environ, "KECS_IPTABLES_BACKEND", "auto", tuple(BackendChoice))),
        ipv6=IPv6(_one_of(environ, "KECS_IPV6", "auto", tuple(IPv6))),
        trust_roots=environ.get("KECS_TRUST_ROOTS", "").encode(),
        trust_directory=_path(environ, "KECS_TRUST_DIRECTORY", "/run/kecs/trust"),
        public_roots=_path(environ, "KECS_PUBLIC_ROOTS", "/etc/ssl/certs/ca-certificates.crt"),
    )


def _one_of(environ: Mapping[str, str], name: str, default: str, known: Mapping[str, bool] | tuple[str, ...]) -> str:
    value = environ.get(name) or default
    if value not in known:
        raise ConfigError(f"{name} is {value!r}", hint=f"set it to one of {', '.join(known)}")
    return value


def _path(environ: Mapping[str, str], name: str, default: str) -> Path:
    value = environ.get(name) or default
    if not value.startswith("/"):
        raise ConfigError(f"{name} is {value!r}, which is not an absolute path", hint=f"e.g. {default}")
    return Path(value)


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"the {what} is {value}", hint=f"give a number from {least} to {most}")
