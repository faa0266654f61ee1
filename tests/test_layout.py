"""The layout holds: one namespace of many folders, files that fit a reader's head, nothing unfinished."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LONGEST = 600


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_hides_the_others(folder: str) -> None:
    """A `kecs/__init__.py` anywhere ends the PEP 420 namespace and makes every other folder unimportable."""
    assert not (ROOT / folder / "kecs" / "__init__.py").exists()
    parts = [path for path in (ROOT / folder / "kecs").iterdir() if path.name != "__pycache__"]
    assert [part for part in parts if not (part / "__init__.py").exists()] == []
    assert all((part / "py.typed").exists() for part in parts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_read_at_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "injector", "sidecar", "init-container", "certs", "charts", "tests", "Dockerfile"]
)
def test_the_fixed_entries_exist(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_part_is_checked_everywhere() -> None:
    """A part that is missing from one tool's list is silently unchecked by it."""
    parts = {
        f"kecs.{part.name}"
        for folder in FOLDERS
        for part in (ROOT / folder / "kecs").iterdir()
        if part.name != "__pycache__"
    }
    tools = PROJECT["tool"]
    assert set(tools["importlinter"]["root_packages"]) == parts
    assert set(tools["coverage"]["run"]["source_pkgs"]) == parts
    assert {*tools["mypy"]["files"]} >= set(FOLDERS)
    assert {entry.removesuffix("/kecs/" + entry.rsplit("/", 1)[-1]) for entry in tools["mypy"]["mypy_path"]} >= {
        f"$MYPY_CONFIG_FILE_DIR/{folder}" for folder in FOLDERS
    }
    assert {path.split("/")[0] for path in tools["hatch"]["build"]["targets"]["wheel"]["packages"]} == set(FOLDERS)
