"""Reads the logs of many pods at once, and follows them. An edge: what is shown is decided elsewhere.

A thread per pod, one queue between them and the reader. A log that is followed is begun again where it was left when
the connection ends while its container goes on: lines carry kubelet's time, those already told are left out. Threads
are daemons, since one that waits for a silent log can only be left: it ends with the program.
"""

import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from kecs.certs.kube import Kube, KubeError, NotFoundError, UnavailableError
from kecs.certs.mirror import Mirror
from kecs.cli import pods
from kecs.cli.calls import Line
from kecs.core.errors import KecsError, UsageError
from kecs.core.names import SIDECAR_CONTAINER

PODS_MAX: Final = 50
"""Each takes a connection to the API server, and one from there to a node."""
_LINES_HELD: Final = 1000
_SILENCE_S: Final = 120.0
"""After so long without a line the log is asked for again: a connection may be dead without anyone saying so."""
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_LOOK_S: Final = 0.25
_BAD_REQUEST: Final = 400

# A log's connection is closed, not kept: that the pool is full says nothing to anyone.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which part of each log is wanted."""

    since_s: int | None = None
    tail: int | None = None
    previous: bool = False

    def query(self) -> dict[str, Any]:
        """Spell it for the API server."""
        asked = {"sinceSeconds": self.since_s, "tailLines": self.tail, "previous": "true" if self.previous else None}
        fixed = {"container": SIDECAR_CONTAINER, "timestamps": "true"}
        return fixed | {name: value for name, value in asked.items() if value is not None}


def listed(kube: Kube, path: str, selector: str) -> list[pods.Pod]:
    """List pods."""
    return list(kube.items(path, **({"labelSelector": selector} if selector else {})))


def found(kube: Kube, namespace: str, name: str) -> pods.Pod:
    """Read a pod, named as kubectl takes it: NAME or pod/NAME."""
    kind, _, bare = name.rpartition("/")
    if kind not in {"", "pod", "pods", "po"} or not bare:
        raise UsageError(f"{name!r} is no pod", hint="give a pod's name; -l names the pods of a workload")
    where = namespace or "default"
    pod = kube.find(f"/api/v1/namespaces/{quote(where, safe='')}/pods/{quote(bare, safe='')}")
    if pod is None:
        raise KecsError(f"there is no pod {bare} in namespace {where}", hint="-n names another namespace")
    return pod


def log_path(namespace: str, pod: str) -> str:
    """Return where a pod's logs are."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/log"


def read(kube: Kube, chosen: Sequence[pods.Pod], part: Part, complain: Callable[[str], None]) -> Iterator[Line]:
    """Read what the logs hold now, all pods in one order of time."""
    return heapq.merge(*(_read(kube, pods.key(pod), part, complain) for pod in chosen), key=lambda line: line.stamp)


def _read(kube: Kube, key: tuple[str, str], part: Part, complain: Callable[[str], None]) -> Iterator[Line]:
    try:
        for raw in kube.lines(log_path(*key), **part.query()):
            yield Line.of(*key, raw)
    except KubeError as error:  # the other pods' logs are still of use
        complain(f"{'/'.join(key)}: {error.message}")


@dataclass(slots=True)
class _Seen:
    """How far a log was read: the time of the last line, and how many lines had just that time."""

    stamp: str = ""
    count: int = 0
    _again: tuple[str, int] = ("", 0)
    """What has been told before this reading; lines up to it come once more."""

    def begin(self) -> None:
        """Begin to read anew."""
        self._again = max(self._again, (self.stamp, self.count))  # a reading may end before it has come that far
        self.stamp, self.count = "", 0

    def is_new(self, stamp: str) -> bool:
        """Take note of a line, and say whether it has not been told yet.

        After the first new one all are, whatever their time: a node's clock may be set back.
        """
        self.count = self.count + 1 if stamp == self.stamp else 1
        self.stamp = stamp
        if self._again >= (stamp, self.count):
            return False
        self._again = ("", 0)
        return True


@dataclass(slots=True, kw_only=True)
class Following:
    """Logs that are being followed; iterate `lines`."""

    kube: Kube
    part: Part
    complain: Callable[[str], None]
    new: Part = field(default=Part())
    """Which part is wanted of pods that come later."""
    _queue: "queue.Queue[Line]" = field(default_factory=lambda: queue.Queue(_LINES_HELD))
    _threads: dict[str, threading.Thread] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _full: bool = False
    failed: bool = False
    """Whether a log could not be read."""

    def start(self, chosen: Sequence[pods.Pod]) -> None:
        """Follow these pods."""
        for pod in chosen:
            self._add(pod, self.part)

    def take_up(self, found: Sequence[pods.Pod]) -> None:
        """Follow those of the pods that are not followed yet."""
        for pod in found:
            self._add(pod, self.new)

    def close(self) -> None:
        """Tell the threads to end; those that wait for a line do so with it."""
        self._ended.set()

    @property
    def following(self) -> bool:
        """Whether any log may still grow."""
        with self._lock:
            return any(thread.is_alive() for thread in self._threads.values())

    @property
    def several(self) -> bool:
        """Whether lines may be of more than one pod."""
        with self._lock:
            return len(self._threads) > 1

    def lines(self, *, until: float | None = None, forever: bool = False) -> Iterator[Line]:
        """Return lines as they come, until all pods have ended, or until a moment of the monotonic clock."""
        while until is None or time.monotonic() < until:
            left = _LOOK_S if until is None else min(_LOOK_S, max(0.0, until - time.monotonic()))
            alive = forever or self.following  # asked first: what a thread tells before it ends is then in the queue
            try:
                yield self._queue.get(timeout=left)
            except queue.Empty:
                if not alive:
                    return

    def _add(self, pod: pods.Pod, part: Part) -> None:
        uid = str(pod["metadata"].get("uid", pods.title(pod)))
        with self._lock:
            if uid in self._threads or self._ended.is_set():
                return
            if sum(thread.is_alive() for thread in self._threads.values()) >= PODS_MAX:
                if not self._full:
                    self._full = True
                    self.complain(f"{PODS_MAX} logs are followed already: {pods.title(pod)} and later ones are not")
                return
            thread = threading.Thread(target=self._follow, args=(pods.key(pod), uid, part), daemon=True)
            self._threads[uid] = thread
            thread.start()

    def _follow(self, key: tuple[str, str], uid: str, part: Part) -> None:
        seen = _Seen()
        pause = _FIRST_PAUSE_S
        asked = part.query()
        while not self._ended.is_set():
            try:
                told = self._read(key, asked, seen)
                if self._is_over(key, uid):
                    return
            except KecsError as error:
                told = False
                if not _passes(error):
                    self.failed = True
                    self.complain(f"{'/'.join(key)}: {error.message}")
                    return
            if seen.stamp:  # from then on; the lines of that second once more, which `seen` leaves out
                asked = {**Part().query(), "sinceTime": f"{seen.stamp[:19]}Z"}
            pause = _FIRST_PAUSE_S if told else min(pause * 2, _LONGEST_PAUSE_S)
            self._ended.wait(pause)

    def _read(self, key: tuple[str, str], asked: Mapping[str, Any], seen: _Seen) -> bool:
        """Read until the log ends or the connection does; say whether anything was new."""
        told = False
        seen.begin()
        try:
            for raw in self.kube.lines(log_path(*key), read_timeout_s=_SILENCE_S, follow="true", **asked):
                line = Line.of(*key, raw)
                if seen.is_new(line.stamp):
                    told = True
                    self._put(line)
                if self._ended.is_set():
                    return told
        except UnavailableError:
            return told
        return told

    def _put(self, line: Line) -> None:
        while not self._ended.is_set():
            try:
                self._queue.put(line, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def _is_over(self, key: tuple[str, str], uid: str) -> bool:
        """Say whether a pod will log no more: it is gone, or another has its name, or it has ended."""
        try:
            pod = self.kube.find(f"/api/v1/namespaces/{key[0]}/pods/{key[1]}")
        except UnavailableError:
            return False
        return pod is None or str(pod["metadata"].get("uid", uid)) != uid or not pods.is_running(pod)


def _passes(error: KecsError) -> bool:
    """Say whether a refusal is one of a pod that has not started its sidecar, or of an API server that is away."""
    waiting = isinstance(error, KubeError) and error.status == _BAD_REQUEST
    return waiting or isinstance(error, UnavailableError | NotFoundError)


class Watcher:
    """Finds the pods of a selector as they come, and has them followed."""

    def __init__(self, kube: Kube, path: str, selector: str, found: Callable[[list[pods.Pod]], None]) -> None:
        self._found = found
        query = {"labelSelector": selector} if selector else {}
        self._mirror = Mirror(kube, path, query=query, reduce=_kept, changed=self._changed)

    def start(self) -> None:
        """Begin to look."""
        self._mirror.start()

    def close(self) -> None:
        """Stop looking."""
        self._mirror.close()

    def _changed(self) -> None:
        self._found([pod for pod in self._mirror.values() if pod is not None])


def _kept(pod: pods.Pod) -> pods.Pod | None:
    """Keep of a pod what is needed to follow it, if it has a sidecar that has been started."""
    if not pods.has_sidecar(pod) or not pods.is_running(pod) or not is_started(pod):
        return None
    metadata = {name: pod["metadata"].get(name) for name in ("namespace", "name", "uid")}
    return {"metadata": metadata}


def is_started(pod: pods.Pod) -> bool:
    """Say whether a pod's sidecar runs or has run; before that it has no log."""
    status = pods.status_of(pod, SIDECAR_CONTAINER)
    return "waiting" not in (status.get("state") or {"waiting": {}}) or bool(status.get("restartCount"))
