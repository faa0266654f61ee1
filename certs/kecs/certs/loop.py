"""When a round runs: at once when something has changed, every half a minute anyway, later after a failure. An edge."""

import random
import threading
from collections.abc import Callable
from typing import Final, Protocol

from kecs.certs.chronicle import Chronicle
from kecs.certs.kube import Kube, KubeError
from kecs.certs.lease import Elector, NotLeaderError
from kecs.certs.mirror import Mirror
from kecs.core.errors import KecsError
from kecs.core.names import (
    INJECTOR_TLS_SECRET,
    ISSUER_SECRET,
    ROOT_SECRET,
    ROTATION_CONFIG_MAP,
    TRUST_CONFIG_MAP,
)

WATCHED: Final = (
    ("secrets", ROOT_SECRET),
    ("secrets", ISSUER_SECRET),
    ("secrets", INJECTOR_TLS_SECRET),
    ("configmaps", TRUST_CONFIG_MAP),
    ("configmaps", ROTATION_CONFIG_MAP),
)
"""Each by its name alone: that is all that the account may watch."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_SETTLE_S: Final = 0.05
"""Several changes that come together are one reason for a round."""


class Rounds(Protocol):
    """What runs rounds: the controller."""

    problem: str

    def round(self) -> float:
        """Do one; return in how many seconds the next is due."""
        ...


class Loop:
    """See the module. `wake` may be called from any thread."""

    def __init__(self, rounds: Rounds, elector: Elector, chronicle: Chronicle) -> None:
        self._rounds, self._elector, self._chronicle = rounds, elector, chronicle
        self._woken = threading.Event()
        self._failures = 0
        self.failure = "no round was run yet"
        """Why the last round failed; empty when it did not."""

    def wake(self) -> None:
        """Have a round run soon."""
        self._woken.set()

    def run(self, ended: threading.Event) -> None:
        """Run rounds while this replica leads, until told to end (then `wake` it)."""
        while not ended.is_set():
            pause = self.once() if self._elector.leads else _LONGEST_PAUSE_S
            self._woken.wait(pause)
            if not ended.wait(_SETTLE_S):
                self._woken.clear()

    def once(self) -> float:
        """Run one round; return the seconds until the next."""
        try:
            pause = self._rounds.round()
        except NotLeaderError:
            return 0.0  # the elector tells it
        except KecsError as error:
            return self._failed(error)
        self._failures = 0
        self.failure = self._rounds.problem
        if not self.failure:
            self._chronicle.succeeded()
        return pause

    def missing(self) -> tuple[str, ...]:
        """List what keeps this replica from being ready. One that does not lead is, once it knows who does."""
        if self._elector.leads:
            return (self.failure,) if self.failure else ()
        known = self._elector.holder and not self._elector.failure
        return () if known else (self._elector.failure or "nobody holds the lease yet",)

    def _failed(self, error: KecsError) -> float:
        """Try again soon, then ever later; not at the same moment as others."""
        self.failure = error.message
        self._chronicle.troubled(error.message, error.hint)
        self._failures += 1
        pause = min(_FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 16), _LONGEST_PAUSE_S)
        asked = error.retry_after_s if isinstance(error, KubeError) else None
        return max(pause * random.uniform(0.5, 1.0), asked or 0.0)  # noqa: S311 - not a secret


def mirrors(kube: Kube, namespace: str, changed: Callable[[], None]) -> tuple[Mirror, ...]:
    """Watch what a round depends on. Nothing of the objects is kept: a round reads them itself, keys and all."""
    return tuple(
        Mirror(
            kube,
            f"/api/v1/namespaces/{namespace}/{resource}",
            query={"fieldSelector": f"metadata.name={name}"},
            reduce=lambda _: None,
            changed=changed,
        )
        for resource, name in WATCHED
    )
