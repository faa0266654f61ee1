"""The entry point: errors become one line and a hint, and the exit code says whose fault it was."""

import contextlib
import os
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
    kecs server                  ECS and all of AWS at http://localhost:4566
    kecs config show             every setting, and where it came from
    kecs proxy check             what is wrong with a cluster, and what to do
    kecs proxy certs status      the certificates, and who trusts them
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines


def complain(message: str, hint: str = "") -> None:
    """Write an error to stderr: one line for what is wrong, one for what to do."""
    with contextlib.suppress(OSError):  # the exit code says it as well
        click.echo(f"error: {message}", err=True)
        if hint:
            click.echo(f"hint: {hint}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _have_standard_descriptors()
    code = _exit_code(arguments)
    _flush()
    sys.exit(code)


def _have_standard_descriptors() -> None:
    """Open what is closed among the first three descriptors: else the next file opened would be taken for it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)  # noqa: FBT003 - its own spelling
            setattr(sys, name, open(opened, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for good


def _flush() -> None:
    """Write what is left; where that can't be done the interpreter must not try again and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="kecs", standalone_mode=False)
    except click.ClickException as error:
        return _misused(error)
    except KecsError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # that reader went away: nobody is left to be told
            complain(f"{error.strerror or error}".lower(), "is the disk full, or a file or directory gone?")
        return 1
    return result if isinstance(result, int) else 0


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
    elif isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "kecs"
        complain(_sentence(error.format_message()), f"`{path} --help` lists what is understood")
    else:
        complain(_sentence(error.format_message()))
    return error.exit_code


def _sentence(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".")


def _register() -> None:
    from kecs.cli.config import config_group  # noqa: PLC0415 - only after `cli` exists
    from kecs.cli.proxy import proxy_group  # noqa: PLC0415 - the same
    from kecs.cli.run import run_command  # noqa: PLC0415 - the same
    from kecs.cli.server import server_command  # noqa: PLC0415 - the same

    cli.add_command(config_group)
    cli.add_command(proxy_group)
    cli.add_command(run_command)
    cli.add_command(server_command)


_register()
