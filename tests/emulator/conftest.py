"""One emulator for a whole test run; tests use names of their own."""

from collections.abc import Iterator
from uuid import uuid4

import emulator_lab
import pytest


@pytest.fixture(scope="session")
def emulator() -> Iterator[emulator_lab.Emulator]:
    with emulator_lab.running() as emulator:
        yield emulator


@pytest.fixture
def name() -> str:
    return f"kecs-{uuid4().hex[:12]}"
