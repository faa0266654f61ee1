"""Interfaces, addresses and routes of the namespace, with pyroute2. Used by one single-threaded process only.

`local 0.0.0.0/0 dev lo` makes every address local: a connection to anywhere arrives at lo's PREROUTING, without NAT,
and a UDP datagram that nobody serves is answered by the kernel with port-unreachable. No `dummy` interface: not every
kernel has one.
"""

import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kecs.core.names import METADATA_IPV6
from kecs.local.shape import OWN_IPV4, OWN_IPV6

_LOCAL_TABLE: Final = 255
_LO: Final = 1
_UNIVERSE: Final = 0
_IFA_F_NODAD: Final = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the namespace must know of the network around it."""

    addresses: tuple[IPv4Address | IPv6Address, ...]
    ipv6_default_route: bool


def look() -> Host:
    """Read the addresses and routes of the namespace that this process is in."""
    with IPRoute() as route:
        found = [
            ip_address(message.get_attr("IFA_ADDRESS" if message["family"] == socket.AF_INET6 else "IFA_LOCAL"))
            for message in route.get_addr()
            if message["scope"] == _UNIVERSE
        ]
        defaults = [one for one in route.get_routes(family=socket.AF_INET6) if one["dst_len"] == 0 and _usable(one)]
    addresses = tuple(dict.fromkeys(one for one in found if not (one.is_loopback or one.is_link_local)))
    return Host(addresses=addresses, ipv6_default_route=bool(defaults))


def _usable(route: Any) -> bool:
    # where there is no route the kernel lists an `unreachable default dev lo`; inside a run the default is `local`
    return route["type"] in {1, 2}


def set_up(host: Host) -> bool:
    """Bring up lo, addresses and routes in the namespace of this process; say whether there is IPv6 at all.

    The v6 address and default route exist only where the host has them: with them, name lookups return AAAA and
    programs try v6 first. ::1 and the v6 metadata addresses always work.
    """
    with IPRoute() as route:
        route.link("set", index=_LO, state="up")
        own = [one for one in host.addresses if one.version == 4]  # noqa: PLR2004 - the version itself
        for address in dict.fromkeys([OWN_IPV4, *own]):
            route.addr("add", index=_LO, address=str(address), prefixlen=32)
        _local(route, "0.0.0.0/0", prefsrc=str(OWN_IPV4))
        try:
            _set_up_ipv6(route, host)
        except NetlinkError as error:
            if error.code not in {errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EADDRNOTAVAIL}:
                raise
            return False  # IPv6 is compiled out or disabled by sysctl
    return True


def _set_up_ipv6(route: IPRoute, host: Host) -> None:
    if not host.ipv6_default_route:
        for address in METADATA_IPV6:
            _local(route, f"{address}/128")
        return
    own = [one for one in host.addresses if one.version == 6]  # noqa: PLR2004 - the version itself
    for one in dict.fromkeys([OWN_IPV6, *own]):
        # duplicate address detection would leave the address tentative for a second
        route.addr("add", index=_LO, address=str(one), prefixlen=128, family=socket.AF_INET6, flags=_IFA_F_NODAD)
    _local(route, "::/0", prefsrc=str(OWN_IPV6))


def _local(route: IPRoute, destination: str, **options: str | int) -> None:
    if ":" in destination:
        options["family"] = socket.AF_INET6
    else:
        options["scope"] = "host"  # IPv4 refuses a local route of any other scope
    route.route("add", dst=destination, oif=_LO, type="local", table=_LOCAL_TABLE, **options)
