"""What the namespace of a run is asked to be."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from kecs.core.names import RELAY_PORT
from kecs.local.rules import Method

OWN_IPV4: Final = IPv4Address("198.18.0.1")
"""The namespace's own address, and the name server in its resolv.conf."""
OWN_IPV6: Final = IPv6Address("fd00:6b65:6373::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the namespace of a run is like."""

    directory: Path
    """The run's own directory."""
    keep: bool = False
    """Leave processes that the command started running after its end."""
    methods: tuple[Method, ...] = tuple(Method)
    """Which ways to redirect are tried."""
    port: int = RELAY_PORT
    """The relay's port inside."""
