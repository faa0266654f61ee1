"""The edge that reads the sidecar's records as they come, shows them, and keeps the tally."""

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from kecs.core.errors import UsageError
from kecs.core.formats import LogFormat, Summary
from kecs.local.options import RunOptions
from kecs.local.summary import Row, Tally, as_json, duration, line, size

_LINE_MAX = 1 << 20
_DRAIN_S = 5.0


@contextlib.contextmanager
def opened_log(options: RunOptions) -> Iterator[TextIO | None]:
    """Open where calls are written; None when nobody wants to see them."""
    if options.log == "-":
        yield None if options.quiet else sys.stderr
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(options.log).open("a", encoding="utf-8", buffering=1))
        except OSError as error:
            raise UsageError(
                f'--log is "{options.log}": {os.strerror(error.errno or 0).lower()}',
                hint="name a file in a directory that exists and that you may write to, or `-` for standard error",
            ) from error
        yield file


class Reporter:
    """Reads JSON lines from a pipe on a thread of its own. `tally` may be read once `finish` has returned."""

    def __init__(self, descriptor: int, log: TextIO | None, log_format: LogFormat) -> None:
        self.tally = Tally()
        self._source = io.open(descriptor, "rb")  # noqa: SIM115, UP020 - closed by the thread that reads it
        self._log = log
        self._format = log_format
        self._thread = threading.Thread(target=self._read, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until the sidecar has closed its end and everything is written."""
        self._thread.join(_DRAIN_S)

    def _read(self) -> None:
        with self._source as source:
            for raw in source:
                if len(raw) > _LINE_MAX:
                    continue
                try:
                    record = json.loads(raw)
                except ValueError:
                    continue  # a line cut short by the sidecar's sudden death
                self.tally.add(record)
                if record.get("event") == "inspect":
                    print(f"kecs: mitmweb shows the calls at {record.get('url')}", file=sys.stderr)  # noqa: T201 - for the person
                elif self._log is not None:
                    text = raw.decode(errors="replace").rstrip("\n") if self._format is LogFormat.JSON else line(record)
                    with contextlib.suppress(OSError):  # a full disk or a closed terminal must not end the run
                        self._log.write(text + "\n")
                        self._log.flush()


def show_summary(rows: list[Row], summary: Summary) -> None:
    """Write the summary to standard error: standard output is the command's."""
    if summary is Summary.JSON:
        print(json.dumps(as_json(rows)), file=sys.stderr)  # noqa: T201 - data for who asked for it
    elif summary is Summary.TABLE and rows:
        console = Console(stderr=True, highlight=False)
        console.print(table(rows) if console.is_terminal else plain(rows), markup=False, soft_wrap=True)


_HEADINGS = ("Service", "Operation", "Calls", "Errors", "p50", "p99", "Bytes")
_LEFT = 2
"""How many columns are text: they stand to the left."""


def _cells(row: Row) -> tuple[str, ...]:
    counts = (str(row.calls), str(row.errors or "-"), duration(row.p50_ms), duration(row.p99_ms), size(row.bytes))
    return (row.service, row.operation, *counts)


def table(rows: list[Row]) -> Table:
    """Return the summary for a terminal."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(_HEADINGS):
        found.add_column(heading, justify="left" if index < _LEFT else "right", no_wrap=index >= _LEFT, overflow="fold")
    for row in rows:
        found.add_row(*_cells(row), style="red" if row.errors else None)
    return found


def plain(rows: list[Row]) -> str:
    """Return the summary as text in columns."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(cells[index]) for cells in lines) for index in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < _LEFT else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    )
