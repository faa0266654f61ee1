"""Workers: processes that carry connections from shared listening sockets, and their supervisor. An edge.

The supervisor does everything else: certificates, DNS, probes and the admin port, the second engine, the log. Who
waits in a listening socket's backlog is accepted by whichever worker comes first, so a worker that dies takes its own
connections with it and nobody else's. TLS sessions are resumed by the worker that began them: Python's ssl can't share
the keys of tickets between contexts; elsewhere the client makes a full handshake.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kecs.calls.counts import Counts
from kecs.certs.leaf import Intermediate
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.crew_member import Member

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0
_SETTLED_S: Final = 10.0
"""A worker that lived this long did not fail to start."""
_GRACE_S: Final = 2.0
_ANCILLARY: Final = 1

type Note = Callable[[str, Mapping[str, Any]], None]


def material(intermediate: Intermediate | None) -> dict[str, str]:
    """Spell an intermediate as workers are told it; keys travel through a socket pair and stay in memory."""
    if intermediate is None:
        return {}
    chain, key = intermediate.to_pem()
    return {"chain": chain.decode(), "key": key.decode()}


class Crew:
    """See the module. `given` gets connections that a worker is not to carry, with nothing read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: SidecarConfig,
        listeners: Sequence[socket.socket],
        *,
        count: int,
        names_fd: int,
        put: Callable[[bytes], None],
        note: Note,
        given: Callable[[socket.socket], None],
        silence_s: float = 60.0,
    ) -> None:
        self.count = count
        self._silence_s = silence_s
        """A worker that says nothing for so long is stuck, and is ended."""
        self._watch: asyncio.TimerHandle | None = None
        self._loop = loop
        self._config = config
        self._listeners = tuple(listeners)
        self._names_fd = names_fd
        self._put = put
        self._note = note
        self._given = given
        self._intermediate: Intermediate | None = None
        self._members: dict[int, Member] = {}
        self._failures = dict.fromkeys(range(count), 0)
        self._restarts: set[asyncio.TimerHandle] = set()
        self._past = Counts()
        self.restarted = 0
        self._draining: asyncio.Event | None = None
        self._closed = False
        # datagrams, since each stands for itself; stream sockets would let connections and bytes drift apart
        self._gifts, self._giving = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._gifts.setblocking(False)  # noqa: FBT003 - the library's signature

    def start(self, intermediate: Intermediate | None) -> None:
        """Start all workers."""
        self._intermediate = intermediate
        self._loop.add_reader(self._gifts.fileno(), self._take)
        for number in range(self.count):
            self._start(number)
        self._look()

    def renew(self, intermediate: Intermediate) -> None:
        """Have leaves signed by a new intermediate from now on, in every worker."""
        self._intermediate = intermediate
        for member in list(self._members.values()):
            member.tell(material(intermediate))

    def counts(self) -> Counts:
        """Return the sum over all workers, those that have ended too: nothing that was counted is taken back."""
        total = Counts()
        total.add(self._past)
        for member in self._members.values():
            total.add(member.report.counts)
        total.relay["workers_restarted"] = self.restarted
        total.now["workers"] = len(self._members)
        return total

    def unable(self) -> str:
        """Say why no worker serves; empty when one does."""
        reasons = [member.report.able for member in self._members.values()]
        if "" in reasons:
            return ""
        return f"no worker is ready: {reasons[0]}" if reasons else "no worker runs"

    def described(self) -> list[dict[str, Any]]:
        """Say how each worker stands."""
        return [
            {"worker": number, "pid": member.process.pid, "reason": member.report.able, **member.report.certificate}
            for number, member in sorted(self._members.items())
        ]

    async def drain(self, deadline_s: float) -> None:
        """Have every worker finish what it carries, and end."""
        self._draining = asyncio.Event()
        self._wait_no_more()
        for member in list(self._members.values()):
            member.tell({"drain": deadline_s})
        if self._members:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline_s + _GRACE_S):
                    await self._draining.wait()

    def close(self) -> None:
        """End all workers at once, and the listening sockets."""
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        self._wait_no_more()
        for member in list(self._members.values()):
            self._retire(member)
            member.close()
        self._loop.remove_reader(self._gifts.fileno())
        for sock in (self._gifts, self._giving, *self._listeners):
            sock.close()

    def _start(self, number: int) -> None:
        shared = [sock.fileno() for sock in self._listeners]
        try:
            member = Member(
                self._loop,
                number,
                pass_fds=(*shared, self._names_fd, self._giving.fileno()),
                put=self._put,
                ended=self._ended,
            )
        except OSError as error:
            self._failed(number, f"could not be started: {error}", lived_s=0.0)
            return
        self._members[number] = member
        settings = {
            "config": json.loads(self._config.to_json()),
            "listeners": shared,
            "names": self._names_fd,
            "giving": self._giving.fileno(),
        }
        member.tell(settings | material(self._intermediate))

    def _look(self) -> None:
        now = self._loop.time()
        for member in self._members.values():
            if now - member.heard > self._silence_s:
                member.kill()  # its end is told by its socket pair
        self._watch = self._loop.call_later(self._silence_s / 4, self._look)

    def _retire(self, member: Member) -> None:
        del self._members[member.number]
        self._past.add(member.report.counts, ended=True)

    def _ended(self, member: Member) -> None:
        self._retire(member)
        if self._closed:
            return
        if self._draining is not None:
            if not self._members:
                self._draining.set()
            return
        why = f"ended with {member.process.returncode}"
        self._failed(member.number, why, lived_s=self._loop.time() - member.begun)

    def _failed(self, number: int, why: str, *, lived_s: float) -> None:
        """Start another, later each time."""
        failures = 1 if lived_s > _SETTLED_S else self._failures[number] + 1
        self._failures[number] = failures
        wait_s = min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 20))
        self.restarted += 1
        self._note("worker_ended", {"worker": number, "reason": why, "attempt": failures, "wait_s": wait_s})

        def again() -> None:
            self._restarts.discard(timer)
            self._start(number)

        timer = self._loop.call_later(wait_s, again)
        self._restarts.add(timer)

    def _wait_no_more(self) -> None:
        for timer in self._restarts:
            timer.cancel()
        self._restarts.clear()

    def _take(self) -> None:
        """Take a connection that a worker hands on."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self._gifts, _ANCILLARY, 1)
        except OSError:
            return
        for descriptor in descriptors:
            self._given(socket.socket(fileno=descriptor))
