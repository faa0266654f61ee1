"""The page is what was recorded, and no cell of it is dangerous."""

import os
from pathlib import Path

import pytest
from matrix import page
from matrix.forms import FORMS, GROUPS
from matrix.playbook import Group
from matrix.played import golden

PAGE = Path(__file__).parent.parent.parent / "docs" / "backends.md"
FORMS_MIN = 150


def test_the_page_is_generated_from_what_was_recorded() -> None:
    rendered = page.render({name: golden(name) for name in page.COLUMNS})
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        PAGE.write_text(rendered, encoding="utf-8")
    assert rendered == PAGE.read_text(encoding="utf-8")


def test_there_are_forms_enough() -> None:
    assert len(FORMS) >= FORMS_MIN


@pytest.mark.parametrize("name", page.COLUMNS)
def test_no_cell_is_dangerous(name: str) -> None:
    recorded = golden(name)
    cells = {(title, form): outcome for title, forms in recorded["outcomes"].items() for form, outcome in forms.items()}
    assert {*cells} == {(title, form.name) for title, form in FORMS}
    assert [cell for cell in cells.values() if cell.startswith("wrong")] == []


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.title)
def test_no_name_is_used_twice(group: Group) -> None:
    names = [form.name for form in group.forms]
    assert len(names) == len(set(names))
