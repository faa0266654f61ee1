import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from kecs.controlplane.wire.model import TARGET, Kind, model

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "generate_ecs_model.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_ecs_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_model_has_all_that_the_installed_botocore_gives(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    before = script.PATH.read_bytes()
    assert script.main(["--check"]) == 0, capsys.readouterr().out
    assert script.PATH.read_bytes() == before


def test_what_is_for_people_is_left_out(script: ModuleType) -> None:
    model = {
        "metadata": {"targetPrefix": "T", "endpointPrefix": "e"},
        "operations": {
            "Op": {
                "input": {"shape": "In"},
                "output": {"shape": "Out"},
                "errors": [{"shape": "Z"}, {"shape": "A"}],
                "documentation": "<p>",
            }
        },
        "shapes": {
            "In": {
                "type": "structure",
                "required": ["a"],
                "members": {
                    "a": {"shape": "S", "documentation": "<p>"},
                    "clientToken": {"shape": "S", "idempotencyToken": True},
                },
            },
            "List": {"type": "list", "member": {"shape": "S"}, "max": 3},
            "Map": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "List"}},
            "S": {"type": "string", "sensitive": True, "enum": ["x"]},
        },
    }
    assert script.model_of(model) == {
        "target": "T",
        "operations": {"Op": {"input": "In", "output": "Out", "errors": ["A", "Z"]}},
        "shapes": {
            "In": {
                "type": "structure",
                "required": ["a"],
                "members": {"a": {"shape": "S"}, "clientToken": {"shape": "S", "idempotencyToken": True}},
            },
            "List": {"type": "list", "max": 3, "member": "S"},
            "Map": {"type": "map", "key": "S", "value": "List"},
            "S": {"type": "string", "enum": ["x"]},
        },
    }


def test_a_newer_model_may_hold_more_and_want_less(script: ModuleType) -> None:
    there = {
        "operations": {"A": {"input": "In", "errors": ["X", "Y"]}, "New": {}},
        "shapes": {"In": {"type": "structure", "required": ["a"]}, "E": {"enum": ["new", "old"]}},
    }
    older = {
        "operations": {"A": {"input": "In", "errors": ["X"]}},
        "shapes": {"In": {"type": "structure", "required": ["a", "b"]}, "E": {"enum": ["old"]}},
    }
    assert script.lacking(there, older) == []
    wanted = {
        "operations": {"B": {"input": "In"}},
        "shapes": {"In": {"type": "map"}, "E": {"enum": ["old", "newest"]}},
    }
    assert script.lacking(there, wanted) == ["operations: B", "shapes: In: type", "shapes: E: enum: newest"]


def test_a_stale_model_is_told_and_written_anew(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ecs.json"
    monkeypatch.setattr(script, "PATH", path)
    assert script.main(["--check"]) == 1
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
    path.write_text(path.read_text().replace('"ClusterNotFoundException"', '"Other"', 1))
    assert script.main(["--check"]) == 1
    assert "ClusterNotFoundException" in capsys.readouterr().out
    assert script.main([]) == 0
    path.write_text(path.read_text().replace('"shapes":{', '"shapes":{"More":{"type":"string"},', 1))
    assert script.main(["--check"]) == 1
    assert "it has more than its botocore gives" in capsys.readouterr().out


def test_every_shape_that_is_named_is_there() -> None:
    found = model()
    assert len(found.operations) == 88
    for entry in found.operations.values():
        assert {entry.input, entry.output, *entry.errors} <= found.shapes.keys()
    for shape in found.shapes.values():
        assert {*shape.members.values(), *((shape.item,) if shape.item else ())} <= found.shapes.keys()
        assert {*shape.required} <= shape.members.keys()


def test_some_of_what_the_model_says() -> None:
    assert model().tokens == {"CreateGateway": "clientToken", "RunTask": "clientToken"}
    assert [name for name, shape in model().shapes.items() if shape.fault] == ["ServerException"]
    assert model().shapes["LaunchType"].choices[:2] == ("EC2", "FARGATE")
    assert [name for name, shape in model().shapes.items() if shape.kind is Kind.DOCUMENT] == ["HookDetails"]
    assert TARGET == "AmazonEC2ContainerServiceV20141113"
