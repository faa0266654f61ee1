"""Sends what containers write to CloudWatch Logs at the emulator. An edge, on threads of its own.

A thread reads each container's log as it grows; one sends what they have read. What can't be sent yet is not read on:
the node keeps it, so nothing is lost while the emulator is away, and memory stays bounded. Where a stream has events
already, as after a restart, reading goes on behind the last of them.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from kecs.certs.kube import Kube, KubeError, NotFoundError
from kecs.controlplane.emulator_client import client
from kecs.controlplane.kubernetes import contents
from kecs.controlplane.kubernetes.logs import EVENT_BYTES, Destination, LogLine, Place, batch, events, read
from kecs.controlplane.kubernetes.resolver_client import ATTEMPTS, make
from kecs.controlplane.kubernetes.sightings import statuses

type Json = dict[str, Any]
type Key = tuple[str, str]
"""A pod's uid and its container."""

BUFFER_BYTES: Final = 1_048_576
"""Of one container: what has been read and not been sent."""
FOLLOWED_MAX: Final = 512
"""Containers whose logs are read at once, a thread each. Others wait until one of these has ended."""
_READ_S: Final = 300.0
_SEND_S: Final = 0.5
_PAUSE_S: Final = 1.0
_LAST_EVENTS: Final = 1000


@dataclass(slots=True, kw_only=True)
class Counts:
    """What has become of lines."""

    sent: int = 0
    refused: int = 0
    """Too old, too new, or expired by the group's retention: CloudWatch Logs says so, and keeps the rest."""


@dataclass(slots=True, kw_only=True)
class _Tail:
    """One container's log."""

    path: str
    destination: Destination
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the container writes no more: what is there then is all there is."""
    lines: deque[LogLine] = field(default_factory=deque)
    size: int = 0
    read_up: bool = False
    forgotten: bool = False
    """The pod is gone: nobody will ask whether its log has been read."""


class LogShipper:
    """See the module."""

    def __init__(
        self,
        kube: Kube,
        endpoint: str,
        *,
        event: Callable[..., None] = lambda *_, **__: None,
        send_s: float = _SEND_S,
        at_once: int = FOLLOWED_MAX,
    ) -> None:
        self._kube = kube
        self._endpoint = endpoint
        self._event = event
        self._send_s = send_s
        self._at_once = at_once
        self._clients: dict[tuple[str, str], Any] = {}
        self._tails: dict[Key, _Tail] = {}
        self._waiting: dict[Key, _Tail] = {}
        self._done: set[Key] = set()
        self._changed = threading.Condition()
        """Held while tails and their lines change."""
        self._closing = threading.Event()
        self._sender: threading.Thread | None = None
        self.counts = Counts()

    # told of pods, on the loop

    def saw(self, pod: Mapping[str, Any]) -> None:
        """Begin to read what runs; know what has ended."""
        found = statuses(pod)
        for content in contents.read(pod):
            state = found.get(content.pod_name, {}).get("state") or {}
            if content.log is None or not ("running" in state or "terminated" in state):
                continue
            key = str(pod["metadata"].get("uid")), content.pod_name
            with self._changed:
                if key in self._done:
                    continue
                tail = self._tails.get(key) or self._waiting.get(key) or self._begin(key, pod, content.log)
                if "terminated" in state:
                    tail.ended.set()

    def gone(self, pod: Mapping[str, Any]) -> None:
        """Read no more of a pod than has been read."""
        uid = str(pod["metadata"].get("uid"))
        with self._changed:
            for key, tail in (self._tails | self._waiting).items():
                if key[0] == uid:
                    tail.forgotten = True
                    tail.ended.set()
            self._done = {key for key in self._done if key[0] != uid}
            for key in [key for key in self._waiting if key[0] == uid]:
                del self._waiting[key]

    async def close(self) -> None:
        """End. What was read and not sent is read again by who comes next."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()

    def _begin(self, key: Key, pod: Mapping[str, Any], destination: Destination) -> _Tail:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
        tail = _Tail(path=f"{path}?container={key[1]}", destination=destination)
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_all, name="logs", daemon=True)
            self._sender.start()
        if len(self._tails) < self._at_once:
            self._read_on_thread(key, tail)
        else:
            self._waiting[key] = tail
        return tail

    def _read_on_thread(self, key: Key, tail: _Tail) -> None:
        self._tails[key] = tail
        threading.Thread(target=self._read, args=(key, tail), name=f"log {key[1]}", daemon=True).start()

    # reading

    def _read(self, key: Key, tail: _Tail) -> None:
        """Read a container's log to its end, however often that is cut short."""
        place: Place | None = None
        while not self._closing.is_set():
            last = tail.ended.is_set()
            try:
                place = place or self._resumed(tail.destination)
                self._follow(tail, place, on="false" if last else "true")
            except NotFoundError:
                break
            except (KubeError, ClientError, BotoCoreError) as error:
                self._event("log_not_read", path=tail.path, reason=" ".join(str(error).split()))
                tail.ended.wait(_PAUSE_S)
                self._closing.wait(_PAUSE_S)
                continue
            if last:
                break
            tail.ended.wait(_PAUSE_S)
        with self._changed:
            tail.read_up = True
            if not tail.forgotten:
                self._done.add(key)
            self._changed.notify_all()

    def _follow(self, tail: _Tail, place: Place, *, on: str) -> None:
        path, _, container = tail.path.partition("?container=")
        query = {"container": container, "timestamps": "true", "follow": on}
        query |= {"sinceTime": place.since} if place.since else {}
        for line in place.fresh(_parsed(self._kube.lines(path, read_timeout_s=_READ_S, **query))):
            with self._changed:
                self._changed.wait_for(lambda: tail.size < BUFFER_BYTES or self._closing.is_set())
                if self._closing.is_set():
                    return
                tail.lines.append(line)
                tail.size += len(line.text) + EVENT_BYTES

    def _resumed(self, to: Destination) -> Place:
        """Make the stream, or return where the events end that it has."""
        logs = self._logs(to)
        if to.create_group:
            make(logs.create_log_group, logGroupName=to.group)
        where = {"logGroupName": to.group, "logStreamName": to.stream}
        if make(logs.create_log_stream, **where):
            return Place()
        return Place.after(logs.get_log_events(**where, startFromHead=False, limit=_LAST_EVENTS)["events"])

    def _logs(self, to: Destination) -> Any:
        key = to.region, to.account
        if key not in self._clients:
            self._clients[key] = client(self._endpoint, "logs", *key, attempts=ATTEMPTS)
        return self._clients[key]

    # sending

    def _send_all(self) -> None:
        """Send until closed. A round is as long as it takes, and begins twice a second at most."""
        while not self._closing.wait(self._send_s):
            with self._changed:
                tails = list(self._tails.items())
            for key, tail in tails:
                self._send(tail)
                with self._changed:
                    if tail.read_up and not tail.lines:
                        del self._tails[key]
                        self._next()

    def _next(self) -> None:
        """Begin with one that waits."""
        if self._waiting and len(self._tails) < self._at_once:
            key = next(iter(self._waiting))
            self._read_on_thread(key, self._waiting.pop(key))

    def _send(self, tail: _Tail) -> None:
        while not self._closing.is_set():
            with self._changed:
                lines = list(tail.lines)
            count = batch(lines)
            if not count:
                return
            try:
                self._put(tail.destination, events(lines[:count]))
            except (ClientError, BotoCoreError) as error:
                self._event("log_not_sent", stream=tail.destination.stream, reason=" ".join(str(error).split()))
                return
            with self._changed:
                for _ in range(count):
                    tail.size -= len(tail.lines.popleft().text) + EVENT_BYTES
                self._changed.notify_all()

    def _put(self, to: Destination, found: list[Json]) -> None:
        if not found:
            return
        asked = self._logs(to).put_log_events(logGroupName=to.group, logStreamName=to.stream, logEvents=found)
        refused = _refused(asked.get("rejectedLogEventsInfo") or {}, len(found))
        self.counts.sent += len(found) - refused
        self.counts.refused += refused


def _parsed(lines: Iterator[bytes]) -> Iterator[LogLine]:
    return (line for raw in lines if (line := read(raw)) is not None)


def _refused(info: Mapping[str, int], count: int) -> int:
    """Return how many events were refused: up to an index, and from one on.

    The index is that of the last one that is too old, as moto and what is made of it have it; AWS's is one further.
    """
    old = max(info.get("tooOldLogEventEndIndex", -1), info.get("expiredLogEventEndIndex", -1)) + 1
    return old + count - info.get("tooNewLogEventStartIndex", count)
