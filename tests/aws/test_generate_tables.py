import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import kecs.aws

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "generate_tables.py"
DATA = Path(kecs.aws.__path__[0]) / "data"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_tables", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_tables_have_all_that_the_installed_botocore_gives(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in DATA.glob("*.json")}
    assert script.main(["--check"]) == 0, capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in DATA.glob("*.json")} == before


def made(script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *, version: str) -> dict[str, object]:
    table: dict[str, object] = {
        "botocore": script.botocore.__version__,
        "services": {"sqs": {"json": "1.0"}, "sns": {"signing": ["sns"]}},
        "actions": {"sns": "Publish Subscribe"},
    }
    monkeypatch.setattr(script, "DATA", folder)
    monkeypatch.setattr(script, "generate", lambda _: {"core.json": table})
    old = {
        "botocore": version,
        "services": {"sqs": {"json": "1.1"}, "sns": {"signing": ["sns", "sms"]}, "old": {}},
        "actions": {"sns": "Publish"},
    }
    (folder / "core.json").write_text(json.dumps(old))
    return table


def test_tables_are_equal_to_what_the_botocore_gives_that_they_were_made_from(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made(script, tmp_path, monkeypatch, version=script.botocore.__version__)
    assert script.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "core.json: services: sqs: json\n" in said
    assert "core.json: services: old\n" in said
    assert "core.json: services: sns: signing\n" in said
    assert "core.json: actions: sns\n" in said
    assert "4 differences" in said
    assert "old" in json.loads((tmp_path / "core.json").read_text())["services"]
    assert script.main([]) == 0
    assert json.loads((tmp_path / "core.json").read_text()) == table
    assert script.main(["--check"]) == 0
    (tmp_path / "core.json").unlink()
    assert script.main(["--check"]) == 1


def test_tables_may_know_more_than_another_botocore_but_never_less(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(script, tmp_path, monkeypatch, version="0")
    assert script.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "core.json: services: sqs: json\n" in said
    assert "core.json: actions: sns\n" in said
    assert "2 differences" in said


def test_another_version_alone_is_no_difference(script: ModuleType) -> None:
    assert list(script.differences("t", {"botocore": "1", "a": [1]}, {"botocore": "2", "a": [1]})) == []
