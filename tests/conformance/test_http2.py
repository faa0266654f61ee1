"""Every case of a client of HTTP/2, through the engine."""

from collections.abc import Iterator

import pytest
from conformance.cases_h2 import GROUPS
from conformance.lab import Lab
from conformance.playbook_h2 import Case2
from conformance.runner_h2 import play

CASES = [pytest.param(case, id=f"{group.title}: {case.name}") for group in GROUPS for case in group.cases]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(engine=True) as running:
        yield running


@pytest.mark.parametrize("case", CASES)
def test_http_2(lab: Lab, case: Case2) -> None:
    play(lab, case)
