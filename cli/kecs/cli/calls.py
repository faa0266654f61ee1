"""The sidecars' records as people and programs read them: which are wanted, and how each is spelled. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from kecs.core.errors import UsageError
from kecs.local import summary

type Record = Mapping[str, Any]

_CLASS: Final = re.compile(r"[1-5]xx|[1-5][0-9][0-9]|error|ok")
_AGO: Final = re.compile(r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?")
_BAD: Final = 400
_CALLS: Final = frozenset({"call", "invalid"})
FAILURES: Final = frozenset({"client_distrusts", "tls_failed", "refused"})
"""Connections that never became a call: to their client they are failed calls."""
_NUMBERS: Final = ("status", "duration_ms", "bytes_in", "bytes_out")
_POD_SHOWN: Final = 26
_WHAT_SHOWN: Final = 31


class Spelling(StrEnum):
    """How lines are written."""

    TEXT = "text"
    """For people."""
    JSON = "json"
    """One object a line: the record, with its namespace and pod."""
    RAW = "raw"
    """As the sidecar wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of one sidecar's log."""

    namespace: str
    pod: str
    text: str
    stamp: str = ""
    """When the node took it down: RFC 3339, nanoseconds. It orders the lines of several pods."""
    record: Record | None = None
    """What the line says; None for a line that is no record."""

    @classmethod
    def of(cls, namespace: str, pod: str, raw: bytes) -> Self:
        """Read a line that starts with its time."""
        stamp, _, text = raw.decode(errors="replace").partition(" ")
        return cls(namespace=namespace, pod=pod, text=text, stamp=stamp, record=_record(text))


def _record(text: str) -> Record | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return None
    return found if all(isinstance(found.get(name, 0), int | float) for name in _NUMBERS) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records are wanted. Within one list any fits, the lists must all fit; an empty list fits everything."""

    services: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    """With * and ? as in file names; neither case nor hyphens matter."""
    statuses: tuple[str, ...] = ()
    calls_only: bool = False
    """Calls, and connections that failed to become one."""

    def __post_init__(self) -> None:
        for status in self.statuses:
            if not _CLASS.fullmatch(status):
                raise UsageError(f"--status is {status!r}", hint="give 4xx, 5xx, 404, error or ok")

    def wants(self, line: Line) -> bool:
        """Say whether a line is to be shown."""
        record = line.record
        if record is None:
            return not (self.calls_only or self.services or self.operations or self.statuses)
        event = record["event"]
        if self.calls_only and event not in _CALLS | FAILURES:
            return False
        return (
            _fits(record.get("service"), self.services)
            and _fits(record.get("operation"), self.operations)
            and (not self.statuses or any(_has(record, status) for status in self.statuses))
        )


def _fits(value: object, patterns: tuple[str, ...]) -> bool:
    folded = _folded(str(value or ""))
    return not patterns or any(fnmatchcase(folded, _folded(pattern)) for pattern in patterns)


def _folded(name: str) -> str:
    return name.lower().replace("-", "")


def _has(record: Record, wanted: str) -> bool:
    """Say whether a record has a status. A client that left before its answer has 0, which is an error."""
    if record["event"] in FAILURES:
        return wanted == "error"
    found = record.get("status")
    if not isinstance(found, int):
        return False
    if wanted in {"error", "ok"}:
        return (wanted == "error") is (found == 0 or found >= _BAD)
    return re.fullmatch(wanted.replace("xx", ".."), str(found)) is not None


def seconds_ago(text: str) -> int | None:
    """Read how long ago: 10m, 1h30m, 45s, 2d; None for nothing."""
    if not text:
        return None
    match = _AGO.fullmatch(text)
    if match is None:
        raise UsageError(f"--since is {text!r}", hint="give a duration, e.g. 45s, 10m or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    whole = int(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds())
    if not 0 < whole <= _LONGEST_S:
        raise UsageError(f"--since is {text!r}", hint="give more than 0s, and at most 365d")
    return whole


_LONGEST_S: Final = 365 * 86400


def spelled(line: Line, spelling: Spelling, *, several: bool, narrow: bool = False) -> str:
    """Write a line. With `several` pods each line says whose it is; `narrow` keeps calls within 80 columns then."""
    if spelling is Spelling.JSON:
        whose = {"namespace": line.namespace, "pod": line.pod}
        said = line.record if line.record is not None else {"text": line.text}
        return json.dumps({**whose, **said}, ensure_ascii=False, separators=(",", ":"))
    prefix = f"{line.namespace}/{line.pod}"
    if spelling is Spelling.RAW or line.record is None:
        text = line.text if spelling is Spelling.RAW else printable(line.text)
        return f"{prefix} {text}" if several else text
    if several and narrow and line.record["event"] == "call":
        return _narrow(line.pod, line.record)
    text = printable(summary.line(line.record))
    return f"{prefix} {text}" if several else text


def printable(text: str) -> str:
    """Leave out what could steer a terminal; a log holds what clients have sent."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _narrow(pod: str, record: Record) -> str:
    clock = str(record.get("time", ""))[11:19]
    what = f"{record.get('service') or '?'} {record.get('operation') or '?'}"
    took = summary.duration(float(record.get("duration_ms") or 0))
    return printable(
        f"{clock} {shortened(pod, _POD_SHOWN):<{_POD_SHOWN}} {shortened(what, _WHAT_SHOWN):<{_WHAT_SHOWN}}"
        f" {record.get('status', 0):>3} {took:>7}"
    )


def shortened(text: str, width: int) -> str:
    """Fit a name into a column. Its end stays: that is where the pods of one Deployment differ."""
    if len(text) <= width:
        return text
    end = min(12, width // 2)
    return f"{text[: width - end - 2]}..{text[-end:]}"
