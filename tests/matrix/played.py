"""A backend's forms as tests, and the file that says what is expected of each."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from matrix import backends
from matrix.forms import FORMS
from matrix.playbook import Form
from matrix.runner import Runner
from matrix.wire import Wire

GOLDEN: Final = Path(__file__).parent / "golden"
CASES: Final = [pytest.param(title, form, id=f"{title}: {form.name}") for title, form in FORMS]
NOT_PLAYED: Final = "not played"
_UPDATE: Final = bool(os.environ.get("KECS_UPDATE_GOLDEN"))


def golden(name: str) -> dict[str, Any]:
    """Return what was recorded of a backend."""
    path = GOLDEN / f"{name}.json"
    recorded: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"outcomes": {}}
    return recorded


@dataclass(slots=True, kw_only=True)
class Played:
    """One backend that runs, and what became of its forms."""

    name: str
    version: str
    wire: Wire
    runner: Runner
    expected: dict[str, Any]
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)

    def judge(self, title: str, form: Form) -> None:
        """Play a form: nothing betrays the backend, no success is wrong, and it is as recorded."""
        absent = backends.PROGRAMS[self.name].absent
        if any(form.name.startswith(start) for start in absent):
            self.outcomes.setdefault(title, {})[form.name] = NOT_PLAYED
            return
        before = len(self.wire.leaks)
        outcome = self.runner.play(form)
        assert self.wire.leaks[before:] == []
        assert not outcome.startswith("wrong"), outcome
        self.outcomes.setdefault(title, {})[form.name] = outcome
        if not _UPDATE:
            assert outcome == self.expected["outcomes"][title][form.name]

    def finished(self) -> None:
        """Check what holds of all of them together; record it when asked to."""
        played = sum(len(forms) for forms in self.outcomes.values())
        assert self.wire.leaks == []
        if played != len(FORMS):
            return
        found = {
            "backend": self.name,
            "version": self.version,
            "forms": played,
            "responses": self.wire.scanned,
            "outcomes": self.outcomes,
        }
        if _UPDATE:
            (GOLDEN / f"{self.name}.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            assert found == self.expected


@contextmanager
def playing(name: str, folder: Path) -> Iterator[Played]:
    """Run a backend for the forms of one test file."""
    with backends.running(name, folder) as (wire, version):
        yield Played(name=name, version=version, wire=wire, runner=Runner(wire), expected=golden(name))
