"""AWS names and the addresses that were given out for them, in memory that several processes see. An edge.

One process answers DNS and writes; those that carry connections read. A name stands in the table before its address is
told to anybody, so whoever connects to the address is known by every process. The table outlives each of them.
"""

import ipaddress
import mmap
import os
import socket
from typing import Final

from kecs.core.names import SYNTHETIC_RANGE
from kecs.sidecar.dns_names import Allocator

_SLOT: Final = 256
"""A length and a name: DNS has none above 253 bytes (RFC 1035 section 3.1, as text)."""
_NAME_MAX: Final = _SLOT - 1


def _size(network: str) -> int:
    return ipaddress.ip_network(network).num_addresses * _SLOT


class SharedAllocator(Allocator):
    """Gives addresses out, and writes down for which name. `descriptor` is the table's, for other processes."""

    def __init__(self, network: str = SYNTHETIC_RANGE, *, limit: int = 0) -> None:
        super().__init__(network, limit=limit)
        self.descriptor = os.memfd_create("names", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, _size(network))  # pages that nobody wrote take no memory
        self._table = mmap.mmap(self.descriptor, _size(network))

    def address_of(self, name: str) -> str | None:
        """Return the name's address, giving it one if it has none."""
        before, spelled = len(self), name.encode()
        if len(spelled) > _NAME_MAX:
            return None
        found = super().address_of(name)
        if len(self) > before:
            start = before * _SLOT
            self._table[start + 1 : start + 1 + len(spelled)] = spelled
            self._table[start] = len(spelled)  # last: who sees it sees the name
        return found

    def close(self) -> None:
        """Give the table up."""
        self._table.close()
        os.close(self.descriptor)


class SharedNames(Allocator):
    """Reads which name an address was given out for; gives none out itself."""

    def __init__(self, descriptor: int, network: str = SYNTHETIC_RANGE) -> None:
        super().__init__(network)
        range_ = ipaddress.ip_network(network)
        self._first = int(range_.network_address) + 1
        self._count = range_.num_addresses
        self._known: dict[str, str] = {}
        # most addresses are none of ours, and are asked about with every request
        octets = str(range_.network_address).split(".")[: range_.prefixlen // 8]
        self._prefix = "".join(f"{octet}." for octet in octets)
        self._table = mmap.mmap(descriptor, _size(network), prot=mmap.PROT_READ)

    def name_of(self, address: str) -> str | None:
        """Return the name, or None."""
        if not address.startswith(self._prefix):
            return None
        found = self._known.get(address)
        if found is None:
            found = self._read(address)
            if found is not None:
                self._known[address] = found
        return found

    def _read(self, address: str) -> str | None:
        try:
            index = int.from_bytes(socket.inet_aton(address)) - self._first
        except OSError:
            return None
        length = self._table[index * _SLOT] if 0 <= index < self._count else 0
        if not length:
            return None
        start = index * _SLOT + 1
        return self._table[start : start + length].decode()

    def address_of(self, name: str) -> str | None:  # noqa: ARG002 - the allocator's signature
        """Give none out: that is the writer's."""
        return None
