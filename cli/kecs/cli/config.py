"""`kecs config`: every setting, its value and where that came from."""

import click


@click.group("config")
@click.option("--config", metavar="FILE", default="", help="Settings file. Default: KECS_CONFIG, else kecs.yaml.")
@click.pass_context
def config_group(context: click.Context, config: str) -> None:
    """Show the settings, and where each value came from."""
    context.obj = config


@config_group.command("show")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
@click.pass_obj
def show_command(config: str, output: str) -> None:
    """List every setting, its value and its source."""
    from kecs.cli import settings_files, settings_view  # noqa: PLC0415 - pydantic takes 0.3 s that other commands save

    settings_view.show(settings_files.read_settings(config=config), output)


@config_group.command("validate")
@click.argument("file")
def validate_command(file: str) -> None:
    """Say everything that is wrong with FILE; the exit code is 2 then."""
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
