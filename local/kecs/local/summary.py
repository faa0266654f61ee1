"""What a run did, from its access-log records: one line per call, and the table at the end. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

type Record = Mapping[str, Any]
"""One line of the sidecar's access log."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The calls of one operation. Durations in milliseconds, bytes of both bodies."""

    service: str
    operation: str
    calls: int
    errors: int
    p50_ms: float
    p99_ms: float
    bytes: int


@dataclass(slots=True)
class Tally:
    """Gathers records; its memory is bounded by the number of operations, not of calls."""

    _calls: defaultdict[tuple[str, str], "_Cell"] = field(default_factory=lambda: defaultdict(_Cell))

    def add(self, record: Record) -> None:
        """Count one record of a call; others are ignored."""
        if record.get("event") != "call":
            return
        key = (str(record.get("service") or "?"), str(record.get("operation") or "?"))
        self._calls[key].add(record)

    def rows(self) -> list[Row]:
        """Return a row for each operation, by service, the most called first."""
        rows = [cell.row(service, operation) for (service, operation), cell in self._calls.items()]
        return sorted(rows, key=lambda row: (row.service, -row.calls, row.operation))


_DURATIONS_KEPT = 10_000


@dataclass(slots=True)
class _Cell:
    calls: int = 0
    errors: int = 0
    bytes: int = 0
    durations: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.calls += 1
        self.errors += int(record.get("status", 0)) >= 400 or int(record.get("status", 0)) == 0  # noqa: PLR2004 - HTTP's own border
        self.bytes += int(record.get("bytes_in", 0)) + int(record.get("bytes_out", 0))
        if len(self.durations) < _DURATIONS_KEPT:
            self.durations.append(float(record.get("duration_ms", 0.0)))
        else:  # every slot is overwritten in turn: the newest ten thousand stand for the rest
            self.durations[self.calls % _DURATIONS_KEPT] = float(record.get("duration_ms", 0.0))

    def row(self, service: str, operation: str) -> Row:
        ordered = sorted(self.durations)
        return Row(
            service=service,
            operation=operation,
            calls=self.calls,
            errors=self.errors,
            p50_ms=quantile(ordered, 0.50),
            p99_ms=quantile(ordered, 0.99),
            bytes=self.bytes,
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
    if not ordered:
        return 0.0
    rank = max(0, -(-len(ordered) * share // 1) - 1)
    return ordered[int(min(rank, len(ordered) - 1))]


def size(count: int) -> str:
    """Spell a number of bytes in decimal units."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError(count)


def duration(milliseconds: float) -> str:
    """Spell a duration with three digits at the most."""
    if milliseconds < 9.95:  # noqa: PLR2004 - where one decimal stops to say anything
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:  # noqa: PLR2004 - where a second begins
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


def line(record: Record) -> str:
    """Spell one record for a person: a call in at most 80 columns where names permit, an event with its hint."""
    clock = str(record.get("time", ""))[11:19]
    if record.get("event") == "call":
        what = f"{record.get('service') or '?'} {record.get('operation') or '?'}"
        moved = size(int(record.get("bytes_in", 0)) + int(record.get("bytes_out", 0)))
        reason = f"  {record['reason']}" if record.get("reason") else ""
        took = duration(float(record.get("duration_ms", 0)))
        region, status = record.get("region") or "-", record.get("status", 0)
        return f"{clock} {what:<34} {region:<14} {status:>3} {took:>7} {moved:>9}{reason}"
    if record.get("event") == "metadata":
        what = f"metadata {record.get('method')} {record.get('address')}"
        return f"{clock} {what:<34} {'-':<14} {record.get('status', 0):>3}"
    rest = " ".join(f"{key}={value}" for key, value in record.items() if key not in {"time", "event", "level", "hint"})
    hint = f"\n         hint: {record['hint']}" if record.get("hint") else ""
    return f"{clock} {record.get('event')} {rest}{hint}"


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON objects."""
    return [
        {
            "service": row.service,
            "operation": row.operation,
            "calls": row.calls,
            "errors": row.errors,
            "p50_ms": round(row.p50_ms, 3),
            "p99_ms": round(row.p99_ms, 3),
            "bytes": row.bytes,
        }
        for row in rows
    ]
