"""What `kecs config` prints: settings as a table, JSON or YAML, and the story of one key."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import click
import yaml
from rich.console import Console
from rich.table import Table

from kecs.core.errors import UsageError
from kecs.core.settings_keys import ALIASES, KEYS, canonical, closest
from kecs.core.settings_loading import Loaded

_WIDTH: Final = 80
_SECRET: Final = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY", re.IGNORECASE)


def show(loaded: Loaded, output: str) -> None:
    """Print every setting as `table`, `json` or `yaml`."""
    values = {path: _visible(loaded.value(path)) for path in KEYS}
    if output == "json":
        rows = {path: {"value": value, "source": str(loaded.origin(path))} for path, value in values.items()}
        click.echo(json.dumps(rows, indent=2))
    elif output == "yaml":
        click.echo(_as_yaml(values, loaded), nl=False)
    else:
        _print_table(values, loaded)


def _visible(value: Any) -> Any:
    """Return a value as it may be shown: plain types, and no tokens handed to LocalStack."""
    if isinstance(value, Mapping):
        return {name: "…" if _SECRET.search(name) else text for name, text in value.items()}
    if isinstance(value, tuple):
        return [str(part) for part in value]
    return str(value) if isinstance(value, StrEnum) else value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _as_yaml(values: Mapping[str, Any], loaded: Loaded) -> str:
    """Write a file that means the same settings, what is no default with its source behind it."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        here = tree
        for section in sections:
            here = here.setdefault(section, {})
        here[name] = value
    sources = [f"# {path}: {loaded.origin(path)}\n" for path in values if loaded.origin(path).name]
    return "".join(sources) + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _console() -> Console:
    """Make a console that breaks lines at 80 columns when nobody says how wide the terminal is."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def _print_table(values: Mapping[str, Any], loaded: Loaded) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("KEY", no_wrap=True)
    table.add_column("VALUE", overflow="fold")
    table.add_column("SOURCE", overflow="fold")
    for path, value in values.items():
        origin = loaded.origin(path)
        table.add_row(path, _text(value), str(origin), style="" if origin.name else "dim")
    console = _console()
    console.print(table)
    if loaded.foreign:
        console.print(f"\nnot settings, left alone: {', '.join(loaded.foreign)}")


def known(key: str) -> str:
    """Return the path of a key as it may be typed; refuse what is none."""
    path = canonical(key)
    if path not in KEYS:
        near = closest(path, (*KEYS, *ALIASES))
        hint = f"did you mean {near}?" if near else "`kecs config show` lists every setting"
        raise UsageError(f"{key} is no setting", hint=hint)
    return path


def explain(loaded: Loaded, path: str) -> None:
    """Print what a key means and every value that was given for it, the winner marked."""
    key = KEYS[path]
    older = [old for old, new in ALIASES.items() if new == path]
    lines = [
        (path, ""),
        ("meaning", key.meaning),
        ("type", key.type_name),
        ("variable", key.variable),
        *[("older name", old) for old in older],
        ("value", _text(_visible(loaded.value(path)))),
    ]
    for label, text in lines:
        click.echo(f"{label:<11}{text}".rstrip())
    click.echo("sources, the strongest first:")
    for index, given in enumerate(loaded.considered[path]):
        mark = "*" if index == 0 else " "
        click.echo(f"  {mark} {given.origin!s:<36} {_text(_visible(given.value))}".rstrip())
