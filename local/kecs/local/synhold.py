"""Hold a connection's first packet until its destination is known to accept.

A relay that accepts first turns "connection refused" into "connected, then reset", which breaks every loop that waits
for a port, Happy Eyeballs and health checks. So the SYN waits in the kernel's queue while the destination is dialled:
connected → the SYN goes on and the relay takes the connected socket; refused → the client gets its reset; no answer →
the SYN is dropped, as the network would have.
"""

import asyncio
import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from kecs.core.errors import ProtocolError
from kecs.core.names import METADATA_IPV4, METADATA_IPV6
from kecs.local import nfqueue, nft
from kecs.local.helper import Helper
from kecs.local.nfqueue import Held, Verdict
from kecs.local.packet import Syn, parse_syn
from kecs.local.shape import OWN_IPV4, OWN_IPV6
from kecs.relay.decide import Address, Connection, Dialled
from kecs.relay.upstream import Dialling

DIAL_TIMEOUT_S: Final = 20.0
TAKE_TIMEOUT_S: Final = 10.0
"""The client's handshake and the relay's accept follow within microseconds, unless the client has gone."""
MOST_HELD: Final = 4096
_MOST_PER_WAKE: Final = 64
_DATAGRAM: Final = 1 << 16
_DNS_PORT: Final = 53
_AWS_PORTS: Final = frozenset({80, 443})
_METADATA: Final = frozenset(METADATA_IPV4 + METADATA_IPV6)
_NEVER_AWS: Final = tuple(
    map(
        ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10")
    )
)
"""Loopback and private networks: no AWS name leads there but through a VPC, which nothing here is in."""
_OWN: Final = frozenset({OWN_IPV4, OWN_IPV6})
_NO_ANSWER: Final = frozenset({errno.ETIMEDOUT})


def dials_early(destination: Address, *, allocated: Callable[[str], bool]) -> bool:
    """Say whether a destination may be dialled before the client has said a word.

    Not what we answer ourselves (metadata, DNS, `allocated` addresses of AWS names), and nothing global at AWS's ports:
    not one packet goes to real AWS, and only the client's first bytes tell.
    """
    if destination.host in _METADATA or destination.port == _DNS_PORT or allocated(destination.host):
        return False
    address = ip_address(destination.host)
    return destination.port not in _AWS_PORTS or any(address in network for network in _NEVER_AWS)


def stays_inside(destination: Address) -> bool:
    """Say whether a server inside comes before one outside: loopback and the namespace's own addresses."""
    address = ip_address(destination.host)
    return address.is_loopback or address in _OWN


@dataclass(slots=True)
class Counts:
    """What became of the SYNs."""

    held: int = 0
    passed: int = 0
    """Not dialled early."""
    refused: int = 0
    unanswered: int = 0
    untaken: int = 0
    """Dialled, but the client had gone."""
    overflow: int = 0
    """Not held because too many were."""


class SynHold:
    """Answers the queue.

    `may_dial` is `dials_early` with its table of allocated addresses; `refuses` names destinations that must be
    refused undialled. `inside` is given where the kernel does not decide what stays inside (`Method.inside_first`).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        queue: socket.socket | None,
        *,
        may_dial: Callable[[Address], bool],
        refuses: Callable[[Address], bool] = lambda _: False,
        inside: Helper | None = None,
        dial_timeout_s: float = DIAL_TIMEOUT_S,
        take_timeout_s: float = TAKE_TIMEOUT_S,
    ) -> None:
        self._loop = loop
        self._queue = queue
        self._may_dial = may_dial
        self._refuses = refuses
        self._inside = inside
        self._tasks: set[asyncio.Task[None]] = set()
        self._dial_timeout_s = dial_timeout_s
        self._take_timeout_s = take_timeout_s
        self._dialling: dict[Syn, Dialling] = {}
        self._answered: OrderedDict[Syn, tuple[Verdict, int]] = OrderedDict()
        self._connected: dict[Address, tuple[socket.socket, asyncio.TimerHandle]] = {}
        self.counts = Counts()
        if queue is not None:
            queue.settimeout(0)
            loop.add_reader(queue.fileno(), self._readable)

    def close(self) -> None:
        """Stop holding: the kernel lets later SYNs go on by themselves."""
        if self._queue is not None:
            self._loop.remove_reader(self._queue.fileno())
            self._queue.close()
            self._queue = None
        for task in self._tasks:
            task.cancel()
        for dialling in self._dialling.values():
            dialling.cancel()
        self._dialling.clear()
        for address in list(self._connected):
            self._expire(address)

    def take(self, client: Address) -> socket.socket | None:
        """Hand out the socket that was connected for this client, once."""
        entry = self._connected.pop(client, None)
        if entry is None:
            return None
        entry[1].cancel()
        return entry[0]

    def dial(self, connection: Connection, done: Dialled) -> None:
        """Dial for the relay (`kecs.relay.decide.Dial`): what was connected during the hold, else anew."""
        held = self.take(connection.client)
        if held is not None:
            self._loop.call_soon(done, held)
        elif self._refused(connection.destination):
            error = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            self._loop.call_soon(done, error)
        elif self._inside is not None and stays_inside(connection.destination):
            task = self._loop.create_task(self._dial_inside(self._inside, connection.destination, done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            Dialling(self._loop, connection.destination, done, timeout_s=self._dial_timeout_s)

    def _refused(self, destination: Address) -> bool:
        # nobody listens there inside, and outside these addresses are somebody else's
        nowhere = ip_address(destination.host) in _OWN and destination.port != _DNS_PORT
        return (nowhere and self._inside is None) or self._refuses(destination)

    async def _dial_inside(self, inside: Helper, destination: Address, done: Dialled) -> None:
        try:
            connected = await inside.connect(destination.host, destination.port)
        except OSError as error:
            if ip_address(destination.host) in _OWN:
                done(error)
            else:
                Dialling(self._loop, destination, done, timeout_s=self._dial_timeout_s)
        else:
            done(connected)

    def _readable(self) -> None:
        if self._queue is None:
            return
        for _ in range(_MOST_PER_WAKE):  # other connections want their turn
            try:
                datagram = self._queue.recv(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # SYNs were lost: their clients send them again
                    continue
                raise
            try:
                for held in nfqueue.held(datagram):
                    self._decide(held)
            except ProtocolError:  # nothing to give a verdict on
                continue

    def _decide(self, held: Held) -> None:
        syn = parse_syn(held.packet)
        if syn is None:
            self._answer(held.number, Verdict.ACCEPT)
        elif syn in self._dialling:
            self._answer(held.number, Verdict.DROP)  # sent again: the first copy waits for the answer
        elif syn in self._answered:
            self._answer(held.number, *self._answered[syn])
        elif self._refused(syn.destination):
            self.counts.refused += 1
            self._conclude(syn, held.number, Verdict.ACCEPT, nft.REFUSE_MARK)
        elif not self._may_dial(syn.destination):
            self.counts.passed += 1
            self._answer(held.number, Verdict.ACCEPT)
        elif len(self._dialling) + len(self._connected) >= MOST_HELD:
            self.counts.overflow += 1
            self._answer(held.number, Verdict.ACCEPT)
        else:
            self._hold(syn, held.number)

    def _hold(self, syn: Syn, number: int) -> None:
        self.counts.held += 1

        def dialled(result: socket.socket | OSError) -> None:
            self._dialling.pop(syn, None)
            if isinstance(result, socket.socket):
                self._keep(syn.client, result)
                self._conclude(syn, number, Verdict.ACCEPT)
            elif result.errno in _NO_ANSWER:
                self.counts.unanswered += 1
                self._answer(number, Verdict.DROP)
            else:
                self.counts.refused += 1
                self._conclude(syn, number, Verdict.ACCEPT, nft.REFUSE_MARK)

        self._dialling[syn] = Dialling(self._loop, syn.destination, dialled, timeout_s=self._dial_timeout_s)

    def _keep(self, client: Address, connected: socket.socket) -> None:
        self._expire(client)  # an earlier connection from the same port, never taken
        timer = self._loop.call_later(self._take_timeout_s, self._expire, client)
        self._connected[client] = (connected, timer)

    def _expire(self, client: Address) -> None:
        unwanted = self.take(client)
        if unwanted is not None:
            self.counts.untaken += 1
            unwanted.close()

    def _conclude(self, syn: Syn, number: int, decision: Verdict, mark: int = 0) -> None:
        # a copy that was queued before the verdict gets the same answer, and no second dial
        self._answered[syn] = (decision, mark)
        if len(self._answered) > MOST_HELD:
            self._answered.popitem(last=False)
        self._answer(number, decision, mark)

    def _answer(self, number: int, decision: Verdict, mark: int = 0) -> None:
        if self._queue is not None:
            self._queue.sendto(nfqueue.verdict(nft.QUEUE, number, decision, mark=mark), (0, 0))
