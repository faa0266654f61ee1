"""A local copy of one collection of the Kubernetes API, kept up by list and watch on a thread of its own. An edge.

While the API server is away the copy stays as it was last seen: what was known goes on being answered.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from kecs.certs.kube import GoneError, Json, Kube
from kecs.core.errors import KecsError

type Key = tuple[str, str]
"""Namespace (empty for cluster-wide objects) and name."""

WATCH_S: Final = 300
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 15.0


def key_of(found: Mapping[str, Any]) -> Key:
    """Return an object's namespace and name."""
    metadata = found["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Mirror:
    """See the module. `reduce` keeps what is needed of each object: a cluster's objects can be many and large."""

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        reduce: Callable[[Json], Any] = lambda found: found,
        changed: Callable[[], None] = lambda: None,
        watch_s: int = WATCH_S,
    ) -> None:
        self._kube = kube
        self._path = path
        self._query = dict(query or {})
        self._reduce = reduce
        self._changed = changed
        self._watch_s = watch_s
        self._objects: dict[Key, Any] = {}
        self._listed = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mirror {path}", daemon=True)
        self.failure = ""
        """Why the last attempt failed; empty while all is well."""

    def start(self) -> None:
        """Begin to follow the collection."""
        self._thread.start()

    def close(self) -> None:
        """Stop following; a watch in progress is left to end by itself."""
        self._ended.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the collection has been listed once; say whether it has."""
        return self._listed.wait(timeout_s)

    @property
    def listed(self) -> bool:
        """Whether the copy has ever been whole."""
        return self._listed.is_set()

    def get(self, name: str, namespace: str = "") -> Any | None:
        """Return what was kept of an object; None when there is none."""
        return self._objects.get((namespace, name))

    def values(self, namespace: str | None = None) -> tuple[Any, ...]:
        """Return what was kept of every object, or of those in a namespace."""
        return tuple(kept for (where, _), kept in list(self._objects.items()) if namespace in (None, where))

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self._follow()
                pause = _FIRST_PAUSE_S
            except GoneError:
                continue
            except Exception as error:  # noqa: BLE001 - a thread that ended would leave the copy stale for ever
                self.failure = error.message if isinstance(error, KecsError) else f"{type(error).__name__}: {error}"
                if time.monotonic() - began > _LONGEST_PAUSE_S:
                    pause = _FIRST_PAUSE_S  # it had worked for a while
                self._ended.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 - replicas are not to return at once
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _follow(self) -> None:
        """List once, then apply changes until the watch ends."""
        found, version = self._kube.snapshot(self._path, **self._query)
        self._objects = {key_of(one): self._reduce(one) for one in found}
        self.failure = ""
        self._listed.set()
        self._changed()
        for change in self._kube.watch(self._path, version, timeout_s=self._watch_s, **self._query):
            if self._ended.is_set():
                return
            if change.kind == "BOOKMARK":
                continue
            if change.kind == "DELETED":
                self._objects.pop(key_of(change.object), None)
            else:
                self._objects[key_of(change.object)] = self._reduce(change.object)
            self._changed()
