"""A process of ours that logs JSON lines to its standard output."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Logged:
    """A running process, and what it has said so far."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def next_line(self, event: str) -> dict[str, Any]:
        """Read the log up to the next event of that name."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            found: dict[str, Any] = json.loads(text)
            self.lines.append(found)
            if found["event"] == event:
                return found
        raise AssertionError(f"the log ended without {event}: {self.lines}")

    @classmethod
    @contextmanager
    def module(cls, *argv: str, environment: Mapping[str, str]) -> Iterator[Self]:
        """Run `python -m` something; end it as kubelet does."""
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield cls(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()
