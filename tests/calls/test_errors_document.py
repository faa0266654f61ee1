"""docs/errors.md against what is answered."""

from pathlib import Path

from kecs.calls.decider import UNCLASSIFIED
from kecs.calls.outages import outage
from kecs.relay.decide import Failure

TEXT = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = {
    int(cells[0]): (cells[1], cells[3])
    for line in TEXT.splitlines()
    if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("|").split("|")])[0].isdigit()
}


def test_every_outage_has_its_row() -> None:
    for failure in Failure:
        found = outage(failure)
        assert ROWS[found.status] == (found.code, "yes")
    assert ROWS[501] == ("NotImplemented", "no")
    assert ROWS[400][1] == ROWS[421][1] == "no"


def test_the_words_of_the_log_are_those_that_are_logged() -> None:
    assert f"`{UNCLASSIFIED}`" in TEXT
    assert '"event":"unclassified"' in TEXT
