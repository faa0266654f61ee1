"""TLS contexts, one per parent domain, with leaves made on first need. Keys live in memory only.

A leaf costs a signature and OpenSSL's reading of it, about a millisecond, so it is made on a thread of its own: a
connection that needs one waits, all others go on. The thread ends with its work; nothing is kept for it.
"""

import asyncio
import contextlib
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from kecs.aws.hosts import is_aws_name
from kecs.certs.serving import load_chain

type Names = tuple[str, ...]
type Mint = Callable[[Names], tuple[bytes, bytes, datetime]]
"""Names in; chain (PEM, leaf first), key (PEM) and the leaf's end out. Called on any thread."""
type Then = Callable[[ssl.SSLContext | Exception], None]

_KEPT: Final = 256
"""Each takes 20 KB; an application speaks to a few dozen parent domains."""
_NAMES: Final = 1024
_QUEUED: Final = 64
_REMADE: Final = 16
_RENEW_BEFORE: Final = timedelta(minutes=10)
_RENEW_SHARE: Final = 10
_RETRY: Final = timedelta(seconds=30)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@lru_cache(maxsize=_NAMES)
def covering(name: str) -> Names:
    """Return the names of the certificate that serves this name: wildcard and parent, where a wildcard may stand.

    One wildcard reaches one label, so `*.s3.eu-west-1.amazonaws.com` serves every bucket of a region.
    """
    _, _, parent = name.partition(".")
    if parent and is_aws_name(f"x.{parent}"):
        return (f"*.{parent}", parent)
    return (name,)


class BusyError(Exception):
    """More leaves are waited for than is reasonable."""


@dataclass(slots=True, kw_only=True)
class _Held:
    context: ssl.SSLContext
    not_after: datetime
    renew_at: datetime


class Contexts:
    """An LRU of server contexts that knows when their certificates end. All methods belong to the loop's thread.

    A leaf that ends soon serves until its end while the next one is made.
    """

    def __init__(
        self, mint: Mint, *, kept: int = _KEPT, queued: int = _QUEUED, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._mint = mint
        self._kept = kept
        self._queued = queued
        self._clock = clock
        self._held: OrderedDict[Names, _Held] = OrderedDict()
        self._waiting: OrderedDict[Names, list[Then]] = OrderedDict()
        """Who waits for what is to be made, the next one first."""
        self._generation = 0
        self._works = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.minted = 0

    def get(self, name: str) -> ssl.SSLContext:
        """Return the context for a server name, making it here and now where there is none that holds."""
        names = covering(name)
        held = self._valid(names, self._clock())
        if held is None:
            held = self._keep(names, *self._make(names))
        return held.context

    def obtain(self, name: str, then: Then, loop: asyncio.AbstractEventLoop) -> ssl.SSLContext | None:
        """Return the context for a server name; where it is to be made, return None, and call back on the loop.

        Raise BusyError when too many others are being waited for.
        """
        self._loop = loop
        names, now = covering(name), self._clock()
        held = self._valid(names, now)
        if held is None:
            if names not in self._waiting and len(self._waiting) >= self._queued:
                raise BusyError
            self._waiting.setdefault(names, []).append(then)
            self._work(loop)
            return None
        if held.renew_at <= now and names not in self._waiting:
            self._prepare([names], loop)
        return held.context

    def clear(self) -> None:
        """Forget all: the next handshakes use leaves of a new intermediate. The latest ones are made anew at once."""
        self._generation += 1
        latest = list(self._held)[: -_REMADE - 1 : -1]
        self._held.clear()
        if self._loop is not None:
            self._prepare(latest, self._loop)

    def _prepare(self, wanted: Iterable[Names], loop: asyncio.AbstractEventLoop) -> None:
        """Have contexts made that nobody waits for yet, as far as there is room in the queue."""
        for names in wanted:
            if len(self._waiting) < self._queued:
                self._waiting.setdefault(names, [])
        self._work(loop)

    def _valid(self, names: Names, now: datetime) -> _Held | None:
        held = self._held.get(names)
        if held is None or held.not_after <= now:
            return None
        self._held.move_to_end(names)
        return held

    def _make(self, names: Names) -> tuple[ssl.SSLContext, datetime]:
        chain, key, not_after = self._mint(names)
        return server_context(chain, key), not_after

    def _keep(self, names: Names, context: ssl.SSLContext, not_after: datetime) -> _Held:
        self.minted += 1
        # where the intermediate itself ends soon, a new leaf does too: a share of what is left keeps renewals few
        left = not_after - self._clock()
        held = _Held(context=context, not_after=not_after, renew_at=not_after - min(_RENEW_BEFORE, left / _RENEW_SHARE))
        self._held[names] = held
        self._held.move_to_end(names)
        while len(self._held) > self._kept:
            self._held.popitem(last=False)
        return held

    # one at a time, on a thread

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._works:
            self._works = True
            names, generation = next(iter(self._waiting)), self._generation
            try:
                threading.Thread(target=self._run, args=(names, generation, loop), daemon=True, name="leaf").start()
            except RuntimeError as error:  # there can be no further thread
                loop.call_soon(self._made, names, generation, error, loop)

    def _run(self, names: Names, generation: int, loop: asyncio.AbstractEventLoop) -> None:
        made: tuple[ssl.SSLContext, datetime] | Exception
        try:
            made = self._make(names)
        except Exception as error:  # noqa: BLE001 - whoever mints leaves is not ours to know; those who wait are told
            made = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._made, names, generation, made, loop)

    def _made(
        self,
        names: Names,
        generation: int,
        made: tuple[ssl.SSLContext, datetime] | Exception,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._works = False
        if generation == self._generation:
            waiting = self._waiting.pop(names)
            if isinstance(made, Exception):
                self._failed(names, made, waiting, loop)
            else:
                context = self._keep(names, *made).context
                for then in waiting:
                    then(context)
        self._work(loop)  # what an intermediate has signed that is no longer in use is made again

    def _failed(self, names: Names, error: Exception, waiting: list[Then], loop: asyncio.AbstractEventLoop) -> None:
        held = self._held.get(names)
        if held is not None:
            held.renew_at = self._clock() + _RETRY
        if not waiting:
            loop.call_exception_handler({"message": f"no new leaf for {names[0]}", "exception": error})
        for then in waiting:
            then(error)


def server_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """Make a context that offers HTTP/1.1 over TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # what clients say has lengths: one that leaves without close_notify has ended, which is no error
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    context.num_tickets = 1
    context.set_alpn_protocols(["http/1.1"])
    load_chain(context, chain, key)
    return context
