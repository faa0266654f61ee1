"""The command line as a whole: help, errors that can't be written, closed descriptors."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kecs.cli.main import cli

KECS = (sys.executable, "-m", "kecs.cli")


def kecs(*arguments: str, out: int = subprocess.PIPE, err: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KECS, *arguments], stdout=out, stderr=err, text=True, timeout=60, check=False)


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Return the words of every command there is."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


COMMANDS = [pytest.param(path, id=" ".join(("kecs", *path))) for path in commands(cli)]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_fits_eighty_columns_and_says_each_sentence_to_its_end(path: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(cli, [*path, "--help"], prog_name="kecs")
    assert ran.exit_code == 0
    lines = ran.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if line.endswith("...")] == []  # a summary that is cut short


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_and_what_it_takes(path: tuple[str, ...]) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for option in (one for one in command.params if isinstance(one, click.Option)):
        assert option.help, option.opts
        assert option.help.endswith(".")
        assert option.show_default is None  # a default is told in the sentence, everywhere alike
        takes = option.make_metavar(click.Context(command)) if not option.is_flag else ""
        assert takes not in {"TEXT", "PATH", "INTEGER", "FILENAME"}, option.opts


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_without_arguments_the_help_is_no_error(arguments: Sequence[str]) -> None:
    ran = kecs(*arguments)
    assert ran.returncode == 2
    assert ran.stderr.startswith("Usage: kecs")
    assert "error:" not in ran.stderr
    assert "hint:" not in ran.stderr


def test_an_error_keeps_its_exit_code_when_nobody_can_be_told() -> None:
    with Path("/dev/full").open("wb") as full:
        assert kecs("run", "--no-such-option", err=full.fileno()).returncode == 2


def test_output_that_can_not_be_written_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = kecs("config", "show", out=full.fileno())
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "error: no space left on device",
        "hint: is the disk full, or a file or directory gone?",
    ]


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {' '.join(KECS)} run -- true"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.splitlines()[0] == "error: the working directory can't be entered: no such file or directory"
    assert ran.stderr.splitlines()[1].startswith("hint: ")
    assert len(ran.stderr.splitlines()) == 2


TELL = "import os, sys; open(sys.argv[1], 'w').write(' '.join(os.readlink(f'/proc/self/fd/{n}') for n in range(3)))"


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_descriptors_are_not_taken_for_ours(tmp_path: Path, closed: Sequence[int]) -> None:
    told = tmp_path / "told"
    pipe = subprocess.PIPE
    closing = " ".join(f"{number}>&-" for number in closed)
    argv = ["sh", "-c", f'exec "$@" {closing}', "sh", *KECS, "run", "--", sys.executable, "-c", TELL, str(told)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ran = subprocess.run(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b""
    for number, open_at in enumerate(told.read_text().split()):
        assert open_at == "/dev/null" if number in closed else open_at.startswith("pipe:")
