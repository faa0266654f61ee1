"""`kecs config`: every setting, its value and where that came from."""

from typing import Final

import click

CONFIG_HELP: Final = "Settings file. Default: KECS_CONFIG, else kecs.yaml here and in ~/.config/kecs."
"""Of --config, wherever it is one."""


@click.group("config")
@click.option(
    "--config",
    metavar="FILE",
    default="",
    help=CONFIG_HELP,
)
@click.pass_context
def config_group(context: click.Context, config: str) -> None:
    """Show and check the settings, and where each came from."""
    context.obj = config


@config_group.command("show")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    help="How it is written. Default: table.",
)
@click.pass_obj
def show_command(config: str, output: str) -> None:
    """List every setting, its value and its source."""
    from kecs.cli import settings_files, settings_view  # noqa: PLC0415 - pydantic takes 0.3 s that other commands save

    settings_view.show(settings_files.read_settings(config=config), output)


@config_group.command("validate")
@click.argument("file")
def validate_command(file: str) -> None:
    """Say everything that is wrong with FILE.

    The exit code is 0 when nothing is, else 2.
    """
    from kecs.cli.settings_files import read_settings  # noqa: PLC0415 - the same

    loaded = read_settings(config=file, environ={})
    given = sum(bool(loaded.origin(path).name) for path in loaded.considered)
    click.echo(f"{file}: {given} {'setting' if given == 1 else 'settings'}, all of them understood")


@config_group.command("explain")
@click.argument("key")
@click.pass_obj
def explain_command(config: str, key: str) -> None:
    """Say what KEY means, what was given for it and which value won."""
    from kecs.cli import settings_files, settings_view  # noqa: PLC0415 - the same

    path = settings_view.known(key)
    settings_view.explain(settings_files.read_settings(config=config), path)
