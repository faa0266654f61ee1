"""What the init container is told: read from its environment, checked, never guessed. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
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


type Network = IPv4Network | IPv6Network

REDIRECTED_PORTS: Final[Mapping[int, str]] = {443: "HTTPS", 80: "HTTP"}
"""The TCP ports whose connections go to the relay, to what is spoken there."""

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
    excluded_ports: tuple[int, ...] = ()
    """Ports whose connections go where they were dialled."""
    excluded_networks: tuple[Network, ...] = ()
    """Destinations that are left alone; metadata addresses and captured lookups never are."""

    def __post_init__(self) -> None:
        """Refuse what iptables would misread: ids and ports are numbers within their ranges."""
        _check_range("uid", self.uid, 1, _ID_LIMIT)
        _check_range("gid", self.gid, 1, _ID_LIMIT)
        _check_range("relay port", self.relay_port, 1, _PORT_LIMIT)
        _check_range("DNS port", self.dns_port, 1, _PORT_LIMIT)
        for port in self.excluded_ports:
            if port not in REDIRECTED_PORTS:
                known = ", ".join(str(known) for known in REDIRECTED_PORTS)
                raise ConfigError(
                    f"port {port} is to be excluded, and is not redirected", hint=f"exclude one of {known}"
                )
        for network in self.excluded_networks:
            if not network.prefixlen:
                raise ConfigError(
                    f"{network} is to be excluded, which is every address", hint="exclude the networks that you mean"
                )


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
        redirect=Redirect(
            capture_dns=_SWITCH[_one_of(environ, "KECS_DNS_CAPTURE", "false", _SWITCH)],
            excluded_ports=_list(environ, "KECS_EXCLUDE_PORTS", int, "80"),
            excluded_networks=_list(environ, "KECS_EXCLUDE_CIDRS", ip_network, "10.0.0.0/8,fd00::/8"),
        ),
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


def _list[T](environ: Mapping[str, str], name: str, parse: Callable[[str], T], example: str) -> tuple[T, ...]:
    value = environ.get(name, "")
    try:
        return tuple(dict.fromkeys(parse(item.strip()) for item in value.split(",") if item.strip()))
    except ValueError as error:
        raise ConfigError(f"{name} is {value!r}: {error}", hint=f"separate them by commas, e.g. {example}") from error


def _path(environ: Mapping[str, str], name: str, default: str) -> Path:
    value = environ.get(name) or default
    if not value.startswith("/"):
        raise ConfigError(f"{name} is {value!r}, which is not an absolute path", hint=f"e.g. {default}")
    return Path(value)


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"the {what} is {value}", hint=f"give a number from {least} to {most}")
