"""The edge that reads the sidecar's records as they come, shows them, and keeps the tally."""

import contextlib
import io
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

from rich.console import Console
from rich.text import Text

from kecs.core.errors import UsageError
from kecs.core.formats import LogFormat, Summary
from kecs.local.columns import laid
from kecs.local.options import RunOptions
from kecs.local.summary import Record, Row, Tally, as_json, line

_LINE_MAX = 1 << 20
_READ_SIZE: Final = 1 << 16
_DRAIN_S = 5.0
_STDERR: Final = 2


class Log:
    """Where lines go. A full disk or a closed terminal must not end the run: what is lost is counted."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._lost = 0
        self._reason = ""

    def write(self, line: str) -> None:
        """Write a line, whole."""
        left = (line + "\n").encode(errors="backslashreplace")
        try:
            while left:
                left = left[_written(self._descriptor, left) :]
        except OSError as error:
            self._lost += 1
            self._reason = os.strerror(error.errno or 0).lower()

    def notes(self) -> tuple[str, ...]:
        """Say what is missing."""
        if not self._lost:
            return ()
        lines = "a line is" if self._lost == 1 else f"{self._lost} lines are"
        return (f"{lines} missing from {self._name}: {self._reason}",)


def _written(descriptor: int, data: bytes) -> int:
    """Write some bytes; return how many."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:  # the command shares our standard error and may have made it non-blocking, as Node does
            select.select([], [descriptor], [])


def tell(text: str) -> None:
    """Write lines to standard error, for the person who typed the command, were anybody there to read them."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    Log(_STDERR, "standard error").write(text)


@contextlib.contextmanager
def opened_log(options: RunOptions) -> Iterator[Log | None]:
    """Open where calls are written; None when nobody wants to see them."""
    if options.log == "-":
        yield None if options.quiet else Log(_STDERR, "standard error")
        return
    try:
        descriptor = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f'--log is "{options.log}": {os.strerror(error.errno or 0).lower()}',
            hint="name a file in a directory that exists and that you may write to, or `-` for standard error",
        ) from error
    try:
        yield Log(descriptor, options.log)
    finally:
        os.close(descriptor)


class Reporter:
    """Reads JSON lines from a pipe on a thread of its own. `tally` may be read once `finish` has returned."""

    def __init__(
        self,
        descriptor: int,
        log: Log | None,
        log_format: LogFormat,
        *,
        shows: Callable[[Record], bool] | None = None,
    ) -> None:
        self.tally = Tally()
        self._shows = shows or (lambda record: record.get("event") not in _UNTOLD)
        self._source = io.FileIO(descriptor, "r")  # closed by the thread that reads it
        self._received = bytearray()
        self._log = log
        self._format = log_format
        self._thread = threading.Thread(target=self._read, name="reporter", daemon=True)

    def await_any(self, events: Collection[str], timeout_s: float) -> Record | None:
        """Take records until one of these comes, and return it; None when it does not. Only before `start`."""
        deadline = time.monotonic() + timeout_s
        while True:
            for raw in self._lines():
                record = self._take(raw)
                if record is not None and record.get("event") in events:
                    return record
            ready, _, _ = select.select([self._source], [], [], max(0.0, deadline - time.monotonic()))
            if not ready or not self._receive():
                return None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until the sidecar has closed its end and everything is written."""
        self._thread.join(_DRAIN_S)

    def notes(self) -> tuple[str, ...]:
        """Say what could not be written; call it after `finish`."""
        return self._log.notes() if self._log else ()

    def _read(self) -> None:
        with self._source:
            more = True
            while more:
                for raw in self._lines():
                    self._take(raw)
                more = self._receive()

    def _receive(self) -> bool:
        data = self._source.read(_READ_SIZE)
        self._received += data or b""
        return bool(data)

    def _lines(self) -> Iterator[bytes]:
        """Return the lines that are complete, each once."""
        while (end := self._received.find(b"\n")) >= 0:
            raw = bytes(self._received[:end])
            del self._received[: end + 1]
            yield raw
        if len(self._received) > _LINE_MAX:
            self._received.clear()

    def _take(self, raw: bytes) -> Record | None:
        try:
            record = json.loads(raw)
        except ValueError:
            return None  # a line cut short by the sidecar's sudden death
        self.tally.add(record)
        sentence = told(record)
        if sentence:
            tell(f"kecs: {sentence}")
        elif self._log is not None and (self._format is LogFormat.JSON or self._shows(record)):
            self._log.write(raw.decode(errors="replace") if self._format is LogFormat.JSON else line(record))
        return record if isinstance(record, dict) else None


_UNTOLD: Final = frozenset({"engine_started", "engine_stopped", "addon_failed", "drained"})
"""What goes without saying, or is said as an error."""


def told(record: Record) -> str:
    """Say what a person has to know at once, whatever they do with the log; empty for all else."""
    match record.get("event"):
        case "inspect":
            return f"mitmweb shows the calls at {record.get('url')}"
        case "addon_error":
            place = f"{record.get('file')}, line {record.get('line')}"
            return f"--addon {place}: {record.get('reason')}; calls go on without it"
        case "record_failed":
            return f"--record: {record.get('reason')}; calls are missing from it"
    return ""


def show_summary(rows: list[Row], summary: Summary) -> None:
    """Write the summary to standard error: standard output is the command's."""
    if summary is Summary.JSON:
        tell(json.dumps(as_json(rows)))
    elif summary is Summary.TABLE and rows:
        console = Console(stderr=True, highlight=False)
        tell(drawn(rows, console) if console.is_terminal else "\n".join(one.text for one in laid(rows, _PAGE)))


_PAGE: Final = 80
"""Columns of a log that is no terminal."""


def drawn(rows: list[Row], console: Console) -> str:
    """Return the summary as this terminal shows it."""
    with console.capture() as captured:
        for one in laid(rows, console.width):
            style = "bold" if one.heading else "red" if one.failed else ""
            console.print(Text(one.text, style=style), soft_wrap=True)
    return captured.get().rstrip("\n")
