"""Keeping a pod's intermediate fresh, on a thread of its own: the network may hang, the relay's loop may not.

`kecs.sidecar.renewal` decides; here it is asked, waited and handed over. An edge.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from kecs.certs.leaf import Intermediate
from kecs.sidecar import renewal
from kecs.sidecar.identity import Granted, Reason, RenewalError
from kecs.sidecar.renewal import Act, Event, State, Terms

_JOIN_S: Final = 1.0
_FAULT_HINT: Final = "report it, with this sidecar's log"


class Source(Protocol):
    """Who issues."""

    def issuer(self) -> str:
        """Ask which issuer signs now; raise RenewalError."""
        ...

    def intermediate(self, now: datetime) -> Granted:
        """Have an intermediate issued; raise RenewalError."""
        ...


class RenewalLoop:
    """See the module. `use` and `note` are called on the loop's thread."""

    def __init__(
        self,
        source: Source,
        *,
        loop: asyncio.AbstractEventLoop,
        use: Callable[[Intermediate], None],
        note: Callable[[str, Mapping[str, Any]], None],
        clock: Callable[[], datetime],
        terms: Terms | None = None,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.state = State()
        """Replaced as a whole: whoever reads it sees one moment."""
        self.results: Counter[str] = Counter()
        """How often intermediates were issued, and why not."""
        self._source = source
        self._loop = loop
        self._use = use
        self._note = note
        self._clock = clock
        self._terms = terms or Terms()
        self._luck = luck
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin: the first request is sent at once."""
        self._thread.start()

    def stop(self) -> None:
        """End; a request that hangs is left behind, and what comes of it is not used."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopped.wait(renewal.wait_s(self.state, self._clock(), self._terms, self._luck())):
            self.turn()

    def turn(self) -> None:
        """Ask once for what is due, and a second time when another issuer signs."""
        now = self._clock()
        doing = renewal.act(self.state, now)
        try:
            if doing is Act.POLL and not renewal.is_replaced(self.state, self._source.issuer()):
                self.state = renewal.polled(self.state)
            else:
                doing = Act.ISSUE
                self._renew(now)
        except RenewalError as error:
            self._fail(doing, error)
        except Exception as fault:  # noqa: BLE001 - a thread that ended would let the certificate end in silence
            self._fail(doing, RenewalError(Reason.INTERNAL, f"{type(fault).__name__}: {fault}", hint=_FAULT_HINT))
        self.state, events = renewal.aged(self.state, self._clock())
        self._tell(events)

    def _renew(self, now: datetime) -> None:
        granted = self._source.intermediate(now)
        if self._stopped.is_set():
            return
        # handed over first: who reads the state may act on it
        self._call(self._use, granted.intermediate)
        self.state, events = renewal.issued(granted, now, self._terms, self._luck())
        self.results["issued"] += 1
        self._tell(events)

    def _fail(self, doing: Act, error: RenewalError) -> None:
        self.state, events = renewal.failed(self.state, doing, error, self._clock())
        if doing is Act.ISSUE:
            self.results[error.reason.value] += 1
        self._tell(events)

    def _tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._call(self._note, event.name, event.facts)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(function, *arguments)
