"""A place: what is broken off in it ends."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.relay.place import APP, Place, place


def break_off(here: Place) -> None:
    with here.lasting("sh", "-c", "echo begun; exec sleep 100000", stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        raise SystemExit("error: told to end")


def test_a_program_that_is_broken_off_is_not_waited_for(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n", encoding="ascii")
    with place(hosts) as here:
        with pytest.raises(SystemExit, match="told to end"):
            break_off(here)
        assert here.members(APP) == []


def test_a_program_that_ends_is_waited_for(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n", encoding="ascii")
    with place(hosts) as here, here.lasting("sh", "-c", "echo done", stdout=subprocess.PIPE) as process:
        assert process.communicate()[0] == "done\n"
    assert process.returncode == 0
