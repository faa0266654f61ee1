"""Bars as SVG: a panel for each question, a bar for each arm, a line from its lowest to its highest round. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.relay.figures import Spread

_WIDTH: Final = 400
_LEFT: Final = 86
_RIGHT: Final = 74
_ROW: Final = 20
_HEAD: Final = 34
_GAP: Final = 18
_COLUMNS: Final = 2
_LOGARITHMIC_FROM: Final = 20.0
"""Where the longest bar is this many times the shortest, bars are as long as their logarithm."""
_FONT: Final = "font-family='ui-sans-serif, system-ui, sans-serif'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question."""

    title: str
    bars: Sequence[tuple[str, Spread]]
    digits: int = 0
    mark: str = ""
    """What the names of bars that stand out begin with."""

    @property
    def height(self) -> int:
        """How high it is drawn."""
        return _HEAD + _ROW * len(self.bars) + _GAP


def draw(panels: Sequence[Panel]) -> str:
    """Return a picture of all panels, two beside each other."""
    shown = [panel for panel in panels if panel.bars]
    rows = [shown[i : i + _COLUMNS] for i in range(0, len(shown), _COLUMNS)]
    parts, top = [], 8
    for row in rows:
        parts += [_panel(panel, column * _WIDTH, top) for column, panel in enumerate(row)]
        top += max(panel.height for panel in row)
    size = f"width='{_WIDTH * _COLUMNS}' height='{top}' viewBox='0 0 {_WIDTH * _COLUMNS} {top}'"
    ground = "<rect width='100%' height='100%' fill='#ffffff'/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>\n{ground}\n{''.join(parts)}</svg>\n"


def _panel(panel: Panel, left: int, top: int) -> str:
    longest = max(found.high for _, found in panel.bars)
    shortest = min(found.low for _, found in panel.bars)
    logarithmic = shortest > 0 and longest / shortest >= _LOGARITHMIC_FROM
    title = panel.title + (" (logarithmic)" if logarithmic else "")
    lines = [_text(left + 10, top + 16, title, "font-size='13' font-weight='600' fill='#1f2328'")]
    for number, (label, found) in enumerate(panel.bars):
        y = top + _HEAD + number * _ROW
        colour = "#0969da" if panel.mark and label.startswith(panel.mark) else "#8c959f"
        start = left + _LEFT
        x, low, high = (
            start + _length(one, shortest, longest, logarithmic=logarithmic)
            for one in (found.median, found.low, found.high)
        )
        lines += [
            _text(start - 6, y + 11, label, "font-size='11' fill='#1f2328' text-anchor='end'"),
            f"<rect x='{start}' y='{y}' width='{x - start:.1f}' height='14' fill='{colour}'/>\n",
            f"<path d='M{low:.1f} {y + 7}H{high:.1f}' stroke='#1f2328' stroke-width='1.2'/>\n",
            _text(high + 5, y + 11, f"{found.median:,.{panel.digits}f}", "font-size='11' fill='#59636e'"),
        ]
    return "".join(lines)


def _length(value: float, shortest: float, longest: float, *, logarithmic: bool) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    if logarithmic:
        # the shortest bar gets a tenth, or it could not be seen
        share = 0.1 + 0.9 * math.log(value / shortest) / math.log(longest / shortest)
    else:
        share = value / longest if longest else 0.0
    return room * share


def _text(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x:.1f}' y='{y}' {style}>{escape(text)}</text>\n"
