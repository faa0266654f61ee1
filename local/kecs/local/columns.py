"""The table at the end of a run, laid out for a width: what is folded, and what a narrow terminal goes without. Pure.

Names are folded, at a word's beginning where there is one; a number is never cut. Only where names folded as narrow as
can be read leave no room does a column of numbers go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from kecs.local.summary import Row, duration, size

HEADINGS: Final = ("Service", "Operation", "Calls", "Errors", "p50", "p99", "Bytes")
_NAMES: Final = 2
"""How many columns are text: they stand to the left, and may be folded."""
_LEAST: Final = (6, 4, 5)
"""The columns that a narrow terminal goes without, in this order: bytes, p50, p99."""
_READABLE: Final = (12, 14)
"""As narrow as names are folded while a column of numbers could go instead."""
_GAP: Final = 2
_AFTER: Final = "-_.:/"
"""What a word ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table."""

    text: str
    heading: bool = False
    failed: bool = False
    """Of an operation with errors."""


def laid(rows: Sequence[Row], width: int) -> list[Line]:
    """Lay the table out; no line is wider, but for a terminal too narrow for any table."""
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    kept = _kept(widths, width)
    most = _name_widths(cells, widths, _room(widths, kept, width))
    names = [[folded(texts[index], most[index]) for texts in cells] for index in range(_NAMES)]
    for index, column in enumerate(names):
        widths[index] = max(len(piece) for pieces in ([HEADINGS[index]], *column) for piece in pieces)
    lines = [Line(text=_spelled(HEADINGS, kept, widths), heading=True)]
    for row, texts, *folds in zip(rows, cells, *names, strict=True):
        for number, parts in enumerate(zip_longest(*folds, fillvalue="")):
            numbers = texts[_NAMES:] if number == 0 else [""] * (len(texts) - _NAMES)
            lines.append(Line(text=_spelled((*parts, *numbers), kept, widths), failed=row.errors > 0))
    return lines


def folded(name: str, width: int) -> list[str]:
    """Return a name in pieces that fit; together they are the name."""
    pieces = []
    while len(name) > width:
        ends = [at for at in range(width // 3, width + 1) if at and _begins(name, at)]
        end = max(ends, default=width)
        pieces.append(name[:end])
        name = name[end:]
    return [*pieces, name]


def _begins(name: str, at: int) -> bool:
    """Tell whether a word begins there."""
    before, first, after = name[at - 1], name[at], name[at + 1 : at + 2]
    return before in _AFTER or (first.isupper() and (not before.isupper() or after.islower()))


def _cells(row: Row) -> tuple[str, ...]:
    counts = (str(row.calls), str(row.errors or "-"), duration(row.p50_ms), duration(row.p99_ms), size(row.bytes))
    return (row.service, row.operation, *counts)


def _room(widths: Sequence[int], kept: Sequence[int], width: int) -> int:
    """Return how much is left for names."""
    return width - sum(widths[index] for index in kept[_NAMES:]) - _GAP * (len(kept) - 1)


def _kept(widths: Sequence[int], width: int) -> list[int]:
    """Return the columns that there is room for: what was called comes before how long it took."""
    kept = list(range(len(HEADINGS)))
    needed = sum(map(min, widths[:_NAMES], _READABLE))
    for least in _LEAST:
        if needed <= _room(widths, kept, width):
            break
        kept.remove(least)
    return kept


def _name_widths(cells: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> list[int]:
    """Share the room among the names so that the table has as few lines as can be."""
    service, operation = widths[:_NAMES]
    if service + operation <= room:
        return [service, operation]
    shares = range(min(service, _READABLE[0]), min(service, room - min(operation, _READABLE[1])) + 1)
    if not shares:  # nothing is left to go without
        share = max(len(HEADINGS[0]), min(service, room - len(HEADINGS[1])))
        return [share, max(len(HEADINGS[1]), room - share)]
    best = min(shares, key=lambda share: (_height(cells, share, room - share), -share))
    return [best, room - best]


def _height(cells: Sequence[Sequence[str]], service: int, operation: int) -> int:
    """Return how many lines names take, of these widths."""
    return sum(max(len(folded(texts[0], service)), len(folded(texts[1], operation))) for texts in cells)


def _spelled(cells: Sequence[str], kept: Sequence[int], widths: Sequence[int]) -> str:
    aligned = (
        cells[index].ljust(widths[index]) if index < _NAMES else cells[index].rjust(widths[index]) for index in kept
    )
    return (" " * _GAP).join(aligned).rstrip()
