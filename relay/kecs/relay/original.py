"""Where a redirected connection wanted to go, asked of the kernel."""

import socket
from typing import Any, Final

from kecs.relay.decide import Address

_IPV4: Final = int(socket.IPPROTO_IP)
_SO_ORIGINAL_DST: Final = 80
"""linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number."""


def from_getsockname(sock: socket.socket) -> Address:
    """Return the local address of the accepted socket: TPROXY leaves the destination as it was."""
    return address_of(sock.getsockname())


def from_redirect(sock: socket.socket) -> Address:
    """Return what REDIRECT replaced, from the kernel's connection tracking; raises OSError when nothing was."""
    try:  # what is not IPv4, mapped or not, has no such option
        raw = sock.getsockopt(_IPV4, _SO_ORIGINAL_DST, 16)
    except OSError:
        raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        return Address(socket.inet_ntop(socket.AF_INET6, raw[8:24]), int.from_bytes(raw[2:4]))
    return Address(socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4]))


def address_of(name: tuple[Any, ...]) -> Address:
    """Read what the kernel calls a peer: an IPv4 address that is written as an IPv6 one is IPv4."""
    host, port = name[0], name[1]
    if ":" in host:
        host = host.removeprefix("::ffff:") if "." in host else host.split("%", 1)[0]
    return Address(host, port)


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
    return address_of(sock.getpeername())
