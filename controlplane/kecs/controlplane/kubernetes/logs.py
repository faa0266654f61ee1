"""Lines of a container on their way to CloudWatch Logs: where they go, what they are, how many at once. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kecs.controlplane.state import Scope

type Json = dict[str, Any]

EVENTS_MAX: Final = 10_000
BYTES_MAX: Final = 1_048_576
"""Of one PutLogEvents, with what each event counts besides its text."""
EVENT_BYTES: Final = 26
LINE_MAX: Final = 262_144 - EVENT_BYTES
"""Longer lines are cut: an event has no room for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A stream of CloudWatch Logs."""

    account: str
    region: str
    group: str
    stream: str
    create_group: bool = False


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One line. Its time is the node's, to the nanosecond, as text: so it sorts and is compared exactly."""

    time: str
    text: str

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""
        return milliseconds(self.time)


def destination(container: Json, task_arn: str) -> Destination | None:
    """Return where a container's lines go: PREFIX/CONTAINER/TASK of its group; None where the driver is another."""
    said: Mapping[str, Any] = container.get("logConfiguration") or {}
    options: Mapping[str, str] = said.get("options") or {}
    if said.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
        return None
    scope = Scope.of(task_arn)
    parts = (options.get("awslogs-stream-prefix"), container["name"], task_arn.rpartition("/")[2])
    return Destination(
        account=scope.account,
        region=options.get("awslogs-region") or scope.region,
        group=options["awslogs-group"],
        stream="/".join(part for part in parts if part),
        create_group=options.get("awslogs-create-group") == "true",
    )


def read(line: bytes) -> LogLine | None:
    """Read a line of the pod log API, asked for with timestamps; None where it has none."""
    time, _, text = line.partition(b" ")
    if not time.endswith(b"Z") or b"T" not in time:
        return None
    body = text[:LINE_MAX].decode(errors="ignore" if len(text) > LINE_MAX else "replace")
    return LogLine(_padded(time.decode("ascii", errors="replace")), body)


def _padded(time: str) -> str:
    """Give a time all nine digits of its nanoseconds: RFC 3339 leaves out zeros, and then texts don't sort."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:<09}Z"


def milliseconds(time: str) -> int:
    """Read a padded time."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 1000 + int(fraction[:3])


def spelled(timestamp: int) -> str:
    """Spell a time in milliseconds as lines have it."""
    seconds, rest = divmod(timestamp, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}000000Z"


def batch(lines: Sequence[LogLine]) -> int:
    """Return how many of these lines fit into one PutLogEvents."""
    size = 0
    for index, line in enumerate(lines[:EVENTS_MAX]):
        size += len(line.text.encode()) + EVENT_BYTES
        if size > BYTES_MAX:
            return index
    return min(len(lines), EVENTS_MAX)


def events(lines: Sequence[LogLine]) -> list[Json]:
    """Return lines as PutLogEvents takes them, which is in order and without empty ones."""
    return sorted(
        ({"timestamp": line.timestamp, "message": line.text} for line in lines if line.text),
        key=lambda event: event["timestamp"],
    )


class Place:
    """How far a log has been read: each line once, though reading begins anew with a whole second."""

    def __init__(self, time: str = "", same: int = 0) -> None:
        """`time` is the last line's, `same` how many lines of that very time have been had."""
        self._time, self._same = time, same

    @classmethod
    def after(cls, stored: Sequence[Mapping[str, Any]]) -> "Place":
        """Return the place behind what a stream has already: its last events. It knows milliseconds only."""
        last = max((int(one["timestamp"]) for one in stored), default=None)
        if last is None:
            return cls()
        return cls(spelled(last)[:-7], sum(int(one["timestamp"]) == last for one in stored))

    @property
    def since(self) -> str:
        """From when to read: a whole second, as kubelet takes it; empty: from the beginning."""
        return f"{self._time[:19]}Z" if self._time else ""

    def fresh(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        """Yield the lines that have not been had, of one reading from `since` on, and remember them."""
        skipped, before, had = 0, self._time, self._same
        for line in lines:
            time = line.time[: len(before)] if before else line.time
            if before and time < before:
                continue
            if before and time == before and skipped < had:
                skipped += bool(line.text) or len(before) == len(line.time)
                continue
            self._same = self._same + 1 if line.time == self._time else 1
            self._time = line.time
            yield line
