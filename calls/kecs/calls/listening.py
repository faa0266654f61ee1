"""Sockets to listen on, by HOST:PORT as options have it. An edge."""

import os
import socket
from typing import Final

from kecs.core.errors import ConfigError, MachineError

_BACKLOG: Final = 4096


def listening(address: str, *, example: str) -> socket.socket:
    """Listen on HOST:PORT; `*` is every address of every family that there is. `example` is what the hint gives."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ConfigError(f"{address!r} is not HOST:PORT", hint=f"e.g. {example}")
    host = host.strip("[]") if host != "*" else ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise MachineError(f"{address} can't be listened on: {reason}", hint="is another server there?") from error
