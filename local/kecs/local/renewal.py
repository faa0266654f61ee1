"""A new intermediate for a run, in time: when the issuer is replaced, and before the old intermediate ends.

It works on a thread of the run's own process, which may read the authority; the sidecar, which strangers' bytes reach,
is handed one intermediate at a time and never sees an issuer. A chain that the command can't verify is never handed
over: the one before goes on, and a person is told.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography import x509

from kecs.certs.leaf import Intermediate
from kecs.certs.state import Authority
from kecs.certs.verify import verify_served
from kecs.core.errors import KecsError

_LIVED: Final = 2 / 3
"""The share of its life after which an intermediate is replaced."""
_PAUSE_MAX_S: Final = 60.0
_DOUBLINGS_MAX: Final = 10
_JOIN_S: Final = 10.0


class Source(Protocol):
    """Where the authority is."""

    def stamp(self) -> object:
        """Return what differs once the authority has changed; cheap."""
        ...

    def load_or_create(self, now: datetime) -> Authority:
        """Read the authority; raises KecsError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the sidecar works with now."""

    issuer_sha256: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, authority: Authority, intermediate: Intermediate, now: datetime) -> "Held":
        """Say what an intermediate that was issued now means for the next."""
        return cls(issuer_sha256=authority.issuer_sha256, start=now, end=intermediate.not_after)

    def is_due(self, now: datetime) -> bool:
        """Say whether it has lived long enough. A clock that was set back makes it young, never endless."""
        return now >= self.start + (self.end - self.start) * _LIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run's intermediates are like, and who has to be able to verify them."""

    trusted: tuple[x509.Certificate, ...]
    """The roots that the command was told to trust, once and for all."""
    lifetime: timedelta
    poll_s: float


class Unverifiable(KecsError):  # noqa: N818 - named for what it says
    """The command could not verify what the authority issues now."""


def issued(authority: Authority, terms: Terms, now: datetime) -> Intermediate:
    """Issue an intermediate that the command verifies; raises Unverifiable, AuthorityError."""
    intermediate = authority.new_intermediate(now, lifetime=terms.lifetime)
    name = f"kecs.{authority.permitted[0]}"
    chain, _key, _end = intermediate.mint((name,), now)
    try:
        verify_served(x509.load_pem_x509_certificates(chain), name, terms.trusted, now)
    except KecsError as error:
        raise Unverifiable(
            "the root of this run's authority was replaced, and the command trusts only what was there when it began",
            hint="start the run again",
        ) from error
    return intermediate


class Renewal:
    """Watches the authority until `stop`. `hand_over` gets each new intermediate, `tell` each sentence for a person."""

    def __init__(
        self,
        *,
        source: Source,
        held: Held,
        terms: Terms,
        hand_over: Callable[[Authority, Intermediate], None],
        tell: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._source = source
        self._held = held
        self._terms = terms
        self._hand_over = hand_over
        self._tell = tell
        self._clock = clock
        self._seen: object = None
        self._said = ""
        self._failures = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; nothing is handed over any more once this returns."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def look(self) -> None:
        """Look once, and renew if it is time."""
        now = self._clock()
        stamp = self._source.stamp()
        if stamp == self._seen and not self._failures and not self._held.is_due(now):
            return
        try:
            self._renew(now)
            self._seen, self._failures, self._said = stamp, 0, ""
        except KecsError as error:
            self._failures += 1
            self._complain(error)

    def _renew(self, now: datetime) -> None:
        authority = self._source.load_or_create(now)
        if authority.issuer_sha256 == self._held.issuer_sha256 and not self._held.is_due(now):
            return
        intermediate = issued(authority, self._terms, now)
        if self._stopped.is_set():  # whoever it is for is ending, and its pipe may be another file by now
            return
        self._hand_over(authority, intermediate)
        self._held = Held.of(authority, intermediate, now)

    def _complain(self, error: KecsError) -> None:
        """Say each trouble once, however often it comes back."""
        if error.message != self._said:
            self._said = error.message
            hint = f"; {error.hint}" if error.hint else ""
            self._tell(f"certificates are not renewed, and end at {self._held.end:%H:%M:%SZ}: {error.message}{hint}")

    def _watch(self) -> None:
        while not self._stopped.wait(self._pause()):
            self.look()

    def _pause(self) -> float:
        longest = max(_PAUSE_MAX_S, self._terms.poll_s)
        return min(self._terms.poll_s * (1 << min(self._failures, _DOUBLINGS_MAX)), longest)


def spelled(intermediate: Intermediate) -> dict[str, str]:
    """Spell an intermediate for the way to the sidecar."""
    chain, key = intermediate.to_pem()
    return {"chain": chain.decode(), "key": key.decode()}
