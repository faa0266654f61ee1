"""Addresses of who answers calls, as a configuration names them. Pure."""

import ipaddress
from typing import Final

from kecs.aws.hosts import is_aws_name
from kecs.core.errors import ConfigError

PORTS: Final = range(1, 65536)


def is_loopback(host: str) -> bool:
    """Tell whether what is sent to a host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_endpoint(what: str, host: str, port: int) -> None:
    """Raise ConfigError for what is no address, and for AWS's own: calls are never sent there."""
    if not host or any(c.isspace() or c in "/@?#[]" for c in host):
        raise ConfigError(f"{what}_host {host!r} is no host", hint="a name or an IP address, without brackets")
    if port not in PORTS:
        raise ConfigError(f"{what}_port {port} is no port", hint="1 to 65535")
    if is_aws_name(host):
        raise ConfigError(
            f"{what}_host {host!r} is AWS itself", hint="calls are never sent to AWS: name an emulator's address"
        )
