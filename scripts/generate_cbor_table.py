"""Make aws/kecs/aws/data/cbor.json from the installed botocore's data. With --check, only say what it lacks.

A table that was made from another botocore only has to hold all that this one gives: newer ones add services and
members. One that was made from this botocore has to be the same.

For each service that speaks CBOR as well as JSON: the members of its answers whose type JSON does not tell, and the
structures that lead there.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, cast

import botocore
import botocore.session

PATH = Path(__file__).resolve().parent.parent / "aws" / "kecs" / "aws" / "data" / "cbor.json"
LEAVES = {"timestamp": "!t", "blob": "!b", "double": "!f", "float": "!f"}
# In no model: the notation that its Java clients use for the JSON protocol.
EXTRA = ("kinesis",)


def references(shape: dict[str, Any]) -> dict[str, str]:
    """Return the shapes inside a shape, by member."""
    match shape["type"]:
        case "structure":
            return {name: member["shape"] for name, member in shape["members"].items()}
        case "list":
            return {"member": shape["member"]["shape"]}
        case "map":
            return {"value": shape["value"]["shape"]}
        case _:
            return {}


def marked(shapes: dict[str, Any]) -> set[str]:
    """Return the shapes that JSON does not tell, or that hold such a one."""
    found = {name for name, shape in shapes.items() if shape["type"] in LEAVES}
    while True:
        more = {name for name, shape in shapes.items() if not found.isdisjoint(references(shape).values())} - found
        if not more:
            return found
        found |= more


def reached(shapes: dict[str, Any], start: list[str], told: set[str]) -> set[str]:
    """Return the marked shapes that are found from these."""
    found: set[str] = set()
    waiting = [name for name in start if name in told]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [inside for inside in references(shapes[name]).values() if inside in told]
    return found


def table_of(model: dict[str, Any]) -> dict[str, Any]:
    """Return one service's entry."""
    shapes = model["shapes"]
    told = marked(shapes)
    outputs = {
        name: operation["output"]["shape"]
        for name, operation in sorted(model["operations"].items())
        if operation.get("output", {}).get("shape") in told
    }
    made: dict[str, Any] = {}
    for name in sorted(reached(shapes, list(outputs.values()), told)):
        shape = shapes[name]
        inside = {
            member: LEAVES.get(shapes[other]["type"], other)
            for member, other in references(shape).items()
            if other in told
        }
        if shape["type"] == "structure":
            made[name] = inside
        elif shape["type"] == "list":
            made[name] = [inside["member"]]
        elif shape["type"] == "map":
            made[name] = {"*": inside["value"]}
    return {"outputs": outputs, "shapes": made}


def generate() -> dict[str, Any]:
    """Return the table."""
    loader = botocore.session.Session().get_component("data_loader")
    services: dict[str, Any] = {}
    for name in sorted(loader.list_available_services("service-2")):
        model = cast("dict[str, Any]", loader.load_service_model(name, "service-2"))
        spoken = model["metadata"].get("protocols") or [model["metadata"]["protocol"]]
        if {"smithy-rpc-v2-cbor", "json"} <= set(spoken) or name in EXTRA:
            services[name] = table_of(model)
    return {"botocore": botocore.__version__, "services": services}


def render(table: dict[str, Any]) -> str:
    """Write it with one service a line, so that a change can be read."""
    lines = [f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in table["services"].items()]
    return f'{{"botocore":{json.dumps(table["botocore"])},"services":{{\n' + ",\n".join(lines) + "\n}}\n"


def lacking(there: Any, wanted: Any, path: str = "") -> list[str]:
    """Return the paths of what a table has not, or has otherwise."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return [
            line
            for key, value in wanted.items()
            for line in lacking(there.get(key), value, f"{path}{': ' * bool(path)}{key}")
        ]
    return [] if there == wanted else [path]


def main(arguments: list[str] | None = None) -> int:
    """Write the table, or with --check return 1 when the one that is there is another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when it would change")
    options = parser.parse_args(arguments)
    table = generate()
    there: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    lines = lacking(there.get("services"), table["services"])
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
