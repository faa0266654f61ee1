"""Writes data for programs. An edge."""

import json
from typing import Any, Final

import click

FORMATS: Final = ("json", "yaml")


def write(output: str, data: Any) -> None:
    """Write data in one of the formats."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    import yaml  # noqa: PLC0415 - `kecs --help` need not load it

    click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
