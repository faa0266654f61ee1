"""Make controlplane/kecs/controlplane/data/ecs.json from the installed botocore. With --check, only say what it lacks.

A model that was made from another botocore only has to hold all that this one gives: newer ones add operations, members
and values. One that was made from this botocore has to be the same. What is for people (documentation, deprecations) or
for botocore (auth, endpoints) is left out.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, cast

import botocore
import botocore.session

PATH = Path(__file__).resolve().parent.parent / "controlplane" / "kecs" / "controlplane" / "data" / "ecs.json"
OF_SHAPES = ("type", "required", "enum", "min", "max", "pattern", "exception", "fault", "union", "document")
OF_MEMBERS = ("shape", "idempotencyToken")


def shape_of(shape: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a shape."""
    made: dict[str, Any] = {key: shape[key] for key in OF_SHAPES if key in shape}
    if "members" in shape:
        made["members"] = {
            name: {key: member[key] for key in OF_MEMBERS if key in member} for name, member in shape["members"].items()
        }
    return made | {key: shape[key]["shape"] for key in ("member", "key", "value") if key in shape}


def operation_of(operation: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an operation."""
    made = {key: operation[key]["shape"] for key in ("input", "output")}
    return made | {"errors": sorted(error["shape"] for error in operation["errors"])}


def model_of(model: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a service's model."""
    return {
        "target": model["metadata"]["targetPrefix"],
        "operations": {name: operation_of(row) for name, row in sorted(model["operations"].items())},
        "shapes": {name: shape_of(row) for name, row in sorted(model["shapes"].items())},
    }


def generate() -> dict[str, Any]:
    """Return the table."""
    loader = botocore.session.Session().get_component("data_loader")
    model = cast("dict[str, Any]", loader.load_service_model("ecs", "service-2"))
    return {"botocore": botocore.__version__, **model_of(model)}


def render(table: dict[str, Any]) -> str:
    """Write it with one operation or shape a line, so that a change can be read."""
    heads = [f"{json.dumps(key)}:{json.dumps(table[key])}" for key in ("botocore", "target")]
    for key in ("operations", "shapes"):
        rows = (f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in table[key].items())
        heads.append(f"{json.dumps(key)}:{{\n" + ",\n".join(rows) + "\n}")
    return "{" + ",\n".join(heads) + "}\n"


def lacking(there: Any, wanted: Any, path: str = "") -> list[str]:
    """Return the paths of what a model has not, or has otherwise. It may know more, and want less."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return [
            line
            for key, value in wanted.items()
            for line in lacking(there.get(key, []), value, f"{path}{': ' * bool(path)}{key}")
        ]
    if isinstance(there, list) and isinstance(wanted, list):
        least, most = (there, wanted) if path.endswith(": required") else (wanted, there)
        return [f"{path}: {value}" for value in least if value not in most]
    return [] if there == wanted else [path]


def main(arguments: list[str] | None = None) -> int:
    """Write the model, or with --check return 1 when the one that is there is another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when it would change")
    options = parser.parse_args(arguments)
    table = generate()
    there: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    lines = lacking({**there, "botocore": table["botocore"]}, table)
    if not lines and there["botocore"] == table["botocore"] and there != table:
        lines = ["it has more than its botocore gives"]
    if not options.check:
        PATH.write_text(render(table))
    for line in lines:
        print(f"{PATH.name}: {line}")
    print(f"{len(lines)} differences to botocore {botocore.__version__}" + (" (not written)" if options.check else ""))
    return 1 if options.check and lines else 0


if __name__ == "__main__":
    sys.exit(main())
