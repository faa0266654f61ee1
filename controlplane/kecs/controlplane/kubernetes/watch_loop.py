"""One collection of the API followed by list and watch, on a thread of its own. An edge.

Whoever follows is told everything that is there, then each change; and everything again whenever a watch ends, which it
does after some minutes, when the API server was away, or when the last version seen is too old.
"""

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from kecs.certs.kube import GoneError, Json, Kube
from kecs.core.errors import KecsError

WATCH_S: Final = 300
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 15.0


class Watch:
    """See the module. `listed`, with the version of what is listed, and `changed` are called on its thread."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        listed: Callable[[list[Json], str], None],
        changed: Callable[[str, Json], None],
        failed: Callable[[str], None],
        query: Mapping[str, Any] | None = None,
        watch_s: int = WATCH_S,
    ) -> None:
        self._kube = kube
        self._path = path
        self._listed = listed
        self._changed = changed
        self._failed = failed
        self._query = dict(query or {})
        self._watch_s = watch_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Say nothing more; a watch in progress is left to end by itself."""
        self._ended.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._ended.is_set():
            try:
                self._follow()
                pause = _FIRST_PAUSE_S
            except GoneError:
                pause = _FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - a thread that ended would leave tasks unseen for ever
                if self._ended.is_set():
                    return
                said = error.message if isinstance(error, KecsError) else f"{type(error).__name__}: {error}"
                self._failed(said)
                self._ended.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 - not to return all at once
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _follow(self) -> None:
        found, version = self._kube.snapshot(self._path, **self._query)
        if self._ended.is_set():
            return
        self._listed(found, version)
        for change in self._kube.watch(self._path, version, timeout_s=self._watch_s, **self._query):
            if self._ended.is_set():
                return
            if change.kind != "BOOKMARK":
                self._changed(change.kind, change.object)
