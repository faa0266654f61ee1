"""Generate charts/kecs/values.schema.json from the commented values.yaml, and the chart's list of AWS suffixes.

python scripts/generate_chart_schema.py            write both
python scripts/generate_chart_schema.py --check    say what differs, and exit with 1
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from kecs.aws.hosts import SUFFIXES

CHART: Final = Path(__file__).parent.parent / "charts" / "kecs"
_MARK: Final = "schema:"
_TYPES: Final = {
    "tag:yaml.org,2002:str": "string",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:seq": "array",
    "tag:yaml.org,2002:map": "object",
}
_ALIASES: Final = {"localstack": {"edgePort": "port"}}
"""Older keys that have no default."""

_AMOUNTS: Final = {
    "cpu": {"type": ["string", "number"], "pattern": r"^(\d+m|\d+(\.\d+)?)$"},
    "memory": {"type": "string", "pattern": r"^\d+(\.\d+)?(E|P|T|G|M|k|Ei|Pi|Ti|Gi|Mi|Ki)?$"},
}
"""Below `requests` and `limits`."""


def comment_above(lines: list[str], line: int) -> list[str]:
    """Return the comment lines directly above a line, without their marks."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip().lstrip("#").strip())
    return found


def narrowing(comment: list[str]) -> dict[str, Any]:
    marked = [line.removeprefix(_MARK) for line in comment if line.startswith(_MARK)]
    return {key: value for line in marked for key, value in json.loads(line).items()}


def described(comment: list[str]) -> dict[str, str]:
    text = " ".join(line for line in comment if not line.startswith(_MARK))
    return {"description": text} if text else {}


def schema(node: yaml.Node, comment: list[str], lines: list[str], path: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of one value."""
    narrow = narrowing(comment)
    found: dict[str, Any] = {**described(comment), **({} if "enum" in narrow else {"type": _TYPES[node.tag]}), **narrow}
    if isinstance(node, yaml.MappingNode) and "additionalProperties" not in narrow:
        found |= mapping(node, lines, path)
    return found


def mapping(node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> dict[str, Any]:
    amounts = path[-1:] in {("requests",), ("limits",)}
    properties: dict[str, Any] = {}
    for key, value in node.value:
        comment = comment_above(lines, key.start_mark.line) if not amounts else []
        properties[key.value] = _AMOUNTS[key.value] if amounts else schema(value, comment, lines, (*path, key.value))
    required = list(properties)
    for old, new in _ALIASES.get(".".join(path), {}).items():
        properties[old] = {**properties[new], "description": f"An older name of {new}."}
    return {"additionalProperties": False, "required": required, "properties": properties}


def values_schema(text: str) -> str:
    """Return the whole file."""
    node = yaml.compose(text)
    assert isinstance(node, yaml.MappingNode)
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the kecs chart",
        "type": "object",
        **mapping(node, text.splitlines(), ()),
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def suffixes() -> str:
    """Return the suffixes of all AWS names, one a line."""
    return "".join(f"{suffix}\n" for suffix in SUFFIXES)


def files() -> Iterator[tuple[Path, str]]:
    yield CHART / "values.schema.json", values_schema((CHART / "values.yaml").read_text(encoding="utf-8"))
    yield CHART / "files" / "aws-suffixes.txt", suffixes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is not up to date")
    options = parser.parse_args()
    stale = [(path, text) for path, text in files() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        print(f"{path.relative_to(CHART.parent.parent)} is {'stale' if options.check else 'written'}")
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
