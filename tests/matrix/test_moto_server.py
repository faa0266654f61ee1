"""Every form through a sidecar to moto_server."""

from collections.abc import Iterator

import pytest
from matrix.playbook import Form
from matrix.played import CASES, Played, playing


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with playing("moto_server", tmp_path_factory.mktemp("moto_server")) as running:
        yield running


@pytest.mark.parametrize(("title", "form"), CASES)
def test_form(played: Played, title: str, form: Form) -> None:
    played.judge(title, form)


def test_all_of_them(played: Played) -> None:
    played.finished()
