import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "generate_cbor_table.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cbor_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_table_has_all_that_the_installed_botocore_gives(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().out


def test_only_what_json_does_not_tell_is_kept(script: ModuleType) -> None:
    model = {
        "operations": {"A": {"output": {"shape": "Out"}}, "B": {"output": {"shape": "Plain"}}, "C": {}},
        "shapes": {
            "Out": {
                "type": "structure",
                "members": {"T": {"shape": "Time"}, "S": {"shape": "Text"}, "L": {"shape": "List"}},
            },
            "List": {"type": "list", "member": {"shape": "Map"}},
            "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Bytes"}},
            "Plain": {"type": "structure", "members": {"S": {"shape": "Text"}, "Self": {"shape": "Plain"}}},
            "Time": {"type": "timestamp"},
            "Bytes": {"type": "blob"},
            "Text": {"type": "string"},
        },
    }
    assert script.table_of(model) == {
        "outputs": {"A": "Out"},
        "shapes": {"Out": {"T": "!t", "L": "List"}, "List": ["Map"], "Map": {"*": "!b"}},
    }


def test_what_is_lacking_is_said_by_its_path(script: ModuleType) -> None:
    there = {"sqs": {"outputs": {"A": "Out"}, "shapes": {"Out": {"T": "!t"}, "List": ["!b"]}}, "new": {}}
    assert script.lacking(there, {"sqs": {"outputs": {"A": "Out"}, "shapes": {"Out": {"T": "!t"}}}}) == []
    wanted = {"sqs": {"shapes": {"Out": {"T": "!t", "B": "!b"}, "List": ["!t"]}}, "old": {"outputs": {}}}
    assert script.lacking(there, wanted) == ["sqs: shapes: Out: B", "sqs: shapes: List", "old"]
