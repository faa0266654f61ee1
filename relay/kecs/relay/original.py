"""Where a redirected connection wanted to go, asked of the kernel."""

import socket
import struct
from typing import Final

from kecs.relay.decide import Address

_SO_ORIGINAL_DST: Final = 80
"""linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number."""


def from_getsockname(sock: socket.socket) -> Address:
    """Return the local address of the accepted socket: TPROXY leaves the destination as it was."""
    host, port = sock.getsockname()[:2]
    return _address(host, port)


def from_redirect(sock: socket.socket) -> Address:
    """Return what REDIRECT replaced, from the kernel's connection tracking; raises OSError when nothing was."""
    if sock.family == socket.AF_INET6 and not _mapped(sock):
        raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        return Address(socket.inet_ntop(socket.AF_INET6, raw[8:24]), *struct.unpack_from("!H", raw, 2))
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return Address(socket.inet_ntop(socket.AF_INET, raw[4:8]), *struct.unpack_from("!H", raw, 2))


def _mapped(sock: socket.socket) -> bool:
    return str(sock.getsockname()[0]).startswith("::ffff:")


def _address(host: str, port: int) -> Address:
    return Address(host.removeprefix("::ffff:") if "." in host else host.split("%", 1)[0], port)


def is_local(host: str) -> bool:
    """Whether this is an address of the machine (or namespace) we are in: only such can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def client_of(sock: socket.socket) -> Address:
    """Return the peer's address."""
    host, port = sock.getpeername()[:2]
    return _address(host, port)
