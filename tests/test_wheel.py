"""The built wheel works in an empty virtual environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it with the locked versions of what it needs, and return the environment."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "venv"
    subprocess.run(
        [UV, "build", "-q", "--wheel", "--no-build-isolation", "--out-dir", folder, ROOT], check=True, timeout=300
    )
    (wheel,) = folder.glob("*.whl")
    constraints = folder / "constraints.txt"
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    constraints.write_text("\n".join(line.removesuffix(" \\") for line in lines if line[:1].isalnum()))
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    subprocess.run([UV, "pip", "install", "-q", "--python", python, "-c", constraints, wheel], check=True, timeout=900)
    return environment


def test_the_command_is_there(installed: Path) -> None:
    said = subprocess.run(
        [installed / "bin" / "kecs", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.startswith("kecs, version ")


def test_it_runs_a_program(installed: Path, tmp_path: Path) -> None:
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    command: list[str | Path] = [installed / "bin" / "kecs", "run", "--", installed / "bin" / "python", "-c", code]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    said = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout == "000000000000\n"
