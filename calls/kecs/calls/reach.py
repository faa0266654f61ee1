"""Whether the places where calls go can be reached: a connection is made now and then, and closed. An edge.

It is made when somebody asks and what is known is old, so that nobody waits for the answer and an idle pod that nobody
probes leaves its backend alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from kecs.relay.decide import Upstream

_FRESH_S: Final = 5.0
"""How old what is known may be; kubelet asks every five seconds."""
_WRONG_S: Final = 1.0
"""The same of what is wrong."""

type Dial = Callable[[Upstream, Callable[[OSError | None], None]], None]
"""Connect, close, and say what went wrong."""

_UNKNOWN: Final = "it has not been connected to yet"


class Reach:
    """What is known of each place, by name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dial: Dial, places: Mapping[str, Upstream]) -> None:
        self._loop = loop
        self._dial = dial
        self._places = places
        self._problems = dict.fromkeys(places, _UNKNOWN)
        self._since = dict.fromkeys(places, float("-inf"))
        self._asking: set[str] = set()

    def problems(self) -> dict[str, str]:
        """Return what was wrong with each place when it was last tried; empty where nothing was. Try again soon."""
        now = self._loop.time()
        for name in self._places:
            fresh_s = _WRONG_S if self._problems[name] else _FRESH_S
            if now - self._since[name] > fresh_s and name not in self._asking:
                self._asking.add(name)
                self._dial(self._places[name], self._answered(name))
        return dict(self._problems)

    def _answered(self, name: str) -> Callable[[OSError | None], None]:
        def done(error: OSError | None) -> None:
            self._asking.discard(name)
            self._since[name] = self._loop.time()
            place = self._places[name]
            why = (error.strerror or str(error)).lower() if error is not None else ""
            self._problems[name] = f"{place.host}:{place.port} can't be reached: {why}" if why else ""

        return done
