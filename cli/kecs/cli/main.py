"""The entry point: errors become one line and a hint, and the exit code says whose fault it was."""

import sys
from collections.abc import Sequence

import click

from kecs.core.errors import KecsError

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="kecs", prog_name="kecs")
def cli() -> None:
    """Run AWS applications against an emulator; they cannot tell.

    \b
    kecs run -- python app.py    an unmodified program, on this machine
    kecs config show             every setting, and where it came from
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines


def complain(message: str, hint: str = "") -> None:
    """Write an error to stderr: one line for what is wrong, one for what to do."""
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="kecs", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "kecs"
        complain(_sentence(error.format_message()), f"`{path} --help` lists what is understood")
        return error.exit_code
    except click.ClickException as error:
        complain(_sentence(error.format_message()))
        return error.exit_code
    except KecsError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nobody is left to be told
        return 1
    return result if isinstance(result, int) else 0


def _sentence(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".")


def _register() -> None:
    from kecs.cli.config import config_group  # noqa: PLC0415 - only after `cli` exists
    from kecs.cli.run import run_command  # noqa: PLC0415 - the same

    cli.add_command(config_group)
    cli.add_command(run_command)


_register()
