"""`kecs run` around real programs, in an environment that holds nothing of this machine's trust settings."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parent / "clients"
PROGRAMS = CLIENTS / "programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished `kecs run`: the command's output, our own, the records of its calls and the summary."""

    code: int
    out: str
    err: str
    records: list[dict[str, Any]]
    summary: list[dict[str, Any]]

    def operations(self, service: str) -> set[str]:
        return {row["operation"] for row in self.summary if row["service"] == service}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kecs:
    """Runs commands under `kecs run`. `prefix` goes before it: `ip netns exec …`."""

    home: Path
    scratch: Path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "default",
            **(extra or {}),
        }

    def run(
        self,
        *command: str | Path,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        cwd: Path | None = None,
        timeout_s: float = 240,
    ) -> Ran:
        log = self.scratch / f"log-{len(list(self.scratch.iterdir()))}.jsonl"
        ours = ["run", "--log", str(log), "--log-format", "json", "--summary", "json", *options, "--"]
        argv = [*prefix, sys.executable, "-m", "kecs.cli", *ours, *map(str, command)]
        done = subprocess.run(
            argv,
            env=self.environment(env),
            cwd=cwd or self.scratch,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        ours_said = done.stderr.splitlines()
        found = [line for line in ours_said if line.startswith("[{") or line == "[]"]
        return Ran(
            code=done.returncode,
            out=done.stdout,
            err=done.stderr,
            records=records,
            summary=json.loads(found[-1]) if found else [],
        )

    def python(self, program: str, *arguments: str, **options: Any) -> Ran:
        return self.run(sys.executable, PROGRAMS / program, *arguments, **options)


def working(name: str) -> str:
    """Find a tool that runs; version managers put shims on PATH that don't."""
    found = shutil.which(name)
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip(f"no {name} that runs is installed here")
    return found


def terraform_plugins() -> Path | None:
    """Find where providers are kept for machines that can't fetch them."""
    places = (Path.home() / ".terraform.d/plugins", Path("/usr/share/terraform/plugins"), *Path("/opt").glob("*"))
    for place in places:
        if any(place.glob("*/hashicorp/aws/*/linux_*")):
            return place
    return None
