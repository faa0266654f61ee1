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


def test_the_committed_tables_are_what_the_installed_botocore_gives(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in DATA.glob("*.json")}
    assert script.main(["--check"]) == 0, capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in DATA.glob("*.json")} == before


def test_check_says_what_differs_and_writes_nothing(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"botocore": "2", "services": {"sqs": {"json": "1.0"}}}
    monkeypatch.setattr(script, "DATA", tmp_path)
    monkeypatch.setattr(script, "generate", lambda _: {"core.json": table})
    (tmp_path / "core.json").write_text(json.dumps({"botocore": "1", "services": {"sqs": {"json": "1.1"}, "old": {}}}))
    assert script.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "core.json: services: sqs: json" in said
    assert "core.json: services: old" in said
    assert "2 differences" in said
    assert json.loads((tmp_path / "core.json").read_text())["botocore"] == "1"
    assert script.main([]) == 0
    assert json.loads((tmp_path / "core.json").read_text()) == table
    assert script.main(["--check"]) == 0
    (tmp_path / "core.json").unlink()
    assert script.main(["--check"]) == 1


def test_another_version_alone_is_no_difference(script: ModuleType) -> None:
    assert list(script.differences("t", {"botocore": "1", "a": [1]}, {"botocore": "2", "a": [1]})) == []
