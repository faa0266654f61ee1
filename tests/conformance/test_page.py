"""The page is what the cases say."""

import os
from pathlib import Path

import pytest
from conformance import cases, cases_h2
from conformance.page import WIDTH, render
from conformance.playbook import Group
from conformance.playbook_h2 import Group2

PAGE = Path(__file__).parent.parent.parent / "docs" / "conformance.md"


def test_the_page_is_generated_from_the_cases() -> None:
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        PAGE.write_text(render(), encoding="utf-8")
    assert render() == PAGE.read_text(encoding="utf-8")


def test_the_page_is_readable_as_text() -> None:
    assert [line for line in render().splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("group", [*cases.GROUPS, *cases_h2.GROUPS], ids=lambda group: group.title)
def test_no_name_is_used_twice(group: Group | Group2) -> None:
    names = [case.name for case in group.cases]
    assert len(names) == len(set(names))
