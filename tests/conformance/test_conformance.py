"""Every case, by every way that a client's bytes can go."""

from collections.abc import Iterator

import pytest
from conformance.cases import GROUPS
from conformance.lab import Lab
from conformance.playbook import Case, Way
from conformance.runner import play

CASES = [pytest.param(case, id=f"{group.title}: {case.name}") for group in GROUPS for case in group.cases]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(engine=True) as running:
        yield running


@pytest.mark.parametrize("way", [Way.PLAIN, Way.TLS, Way.LOOKED_AT])
@pytest.mark.parametrize("case", CASES)
def test_the_relay(lab: Lab, case: Case, way: Way) -> None:
    play(lab, case, way)


@pytest.mark.parametrize("case", CASES)
def test_the_engine(lab: Lab, case: Case) -> None:
    play(lab, case, Way.ENGINE)
