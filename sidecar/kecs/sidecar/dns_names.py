"""What is answered to DNS queries: AWS names get addresses of ours, everything else is somebody else's. Pure."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from kecs.core.names import SYNTHETIC_RANGE

TTL: Final = 30
_HEADER: Final = 12
_RESPONSE_BIT: Final = 0x80


class Allocator:
    """Gives each name an address of its own, and keeps it: clients hold answers longer than they say.

    Names are counted up from the beginning of the range. When the range is full, the rest get none (`None`).
    """

    def __init__(self, network: str = SYNTHETIC_RANGE, *, limit: int = 0) -> None:
        range_ = ip_network(network)
        self._first = int(range_.network_address) + 1
        usable = range_.num_addresses - 2
        self._limit = min(limit or usable, usable)
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def address_of(self, name: str) -> str | None:
        """Return the name's address, giving it one if it has none."""
        found = self._addresses.get(name)
        if found is None and len(self._addresses) < self._limit:
            found = str(ip_address(self._first + len(self._addresses)))
            self._addresses[name] = found
            self._names[found] = name
        return found

    def name_of(self, address: str) -> str | None:
        """Return the name that an address was given out for."""
        return self._names.get(address)

    def __len__(self) -> int:
        return len(self._addresses)


def is_query(data: bytes) -> bool:
    """Tell whether a datagram can be a query at all; what is not must not be answered (two servers would go on)."""
    return len(data) >= _HEADER and not data[2] & _RESPONSE_BIT


def error_reply(data: bytes, code: dns.rcode.Rcode) -> bytes:
    """Return a bare error for a query that may not even be understood."""
    flags = (data[2] & 0x79 | _RESPONSE_BIT).to_bytes() + (0x80 | code).to_bytes()
    return data[:2] + flags + bytes(8)


def server_failure(data: bytes) -> bytes:
    """Return SERVFAIL, with the question where it can be read: some clients ignore answers without it."""
    try:
        reply = dns.message.make_response(dns.message.from_wire(data, ignore_trailing=True), recursion_available=True)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return reply.to_wire()
    except (dns.exception.DNSException, ValueError, NotImplementedError):
        return error_reply(data, dns.rcode.SERVFAIL)


def reply_to(
    data: bytes, allocator: Allocator, intercepted: Callable[[str], bool], search: Sequence[str] = ()
) -> bytes | None:
    """Return the reply to a query about an AWS name, or to what is no query; None for what is to be forwarded.

    Only questions of class IN with one name are ours. Everything else is left to who understands it.

    With `ndots:5`, as in pods, an AWS name is first asked for below each domain of `search`: there is none there. A
    resolver without internet that says so late costs seconds per lookup, and after its SERVFAIL musl asks no further.
    """
    try:
        query = dns.message.from_wire(data, ignore_trailing=True)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        ours, below = intercepted(name), _is_below(name, search, intercepted)
        if question.rdclass != dns.rdataclass.IN or not (ours or below):
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if ours:
            _answer(reply, question, allocator.address_of(name))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()
    except (dns.exception.DNSException, ValueError, NotImplementedError):
        return error_reply(data, dns.rcode.FORMERR)


def _is_below(name: str, search: Sequence[str], intercepted: Callable[[str], bool]) -> bool:
    """Say whether a name is one of ours with a domain of the search list after it."""
    return any(name.endswith(f".{domain}") and intercepted(name.removesuffix(f".{domain}")) for domain in search)


def _answer(reply: dns.message.Message, question: dns.rrset.RRset, address: str | None) -> None:
    if address is None:
        reply.set_rcode(dns.rcode.SERVFAIL)
    elif question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY):
        # The name is spelled as it was asked: clients that vary its case to tell forgeries compare it.
        reply.answer.append(dns.rrset.from_text(question.name, TTL, dns.rdataclass.IN, dns.rdatatype.A, address))
    # All other types: no such data, which sends clients on to the IPv4 address at once.
