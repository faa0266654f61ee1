"""Fixtures of the client tests."""

from pathlib import Path

import pytest
from kecs_run import Kecs


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory that keeps its authority for the whole session, as a person's does."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def kecs(home: Path, tmp_path: Path) -> Kecs:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Kecs(home=home, scratch=scratch)
