"""Bad use: one line `error: …`, one line `hint: …`, and the right exit code."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kecs_run import Kecs


@pytest.mark.parametrize(
    ("options", "command", "code", "says"),
    [
        pytest.param(["--no-such-option"], ["true"], 2, "no such option", id="unknown option"),
        pytest.param([], [], 2, "no command", id="no command"),
        pytest.param([], ["no-such-command-here"], 127, "no-such-command-here", id="command not found"),
        pytest.param([], ["/etc/passwd"], 126, "/etc/passwd", id="not executable"),
        pytest.param([], ["/etc"], 126, "/etc", id="a directory"),
        pytest.param(
            ["--backend", "ftp://localhost:4566"], ["true"], 2, "ftp://localhost:4566", id="backend is not HTTP"
        ),
        pytest.param(["--backend", "https://s3.amazonaws.com"], ["true"], 2, "s3.amazonaws.com", id="backend is AWS"),
        pytest.param(["--publish", "99999"], ["true"], 2, "99999", id="port out of range"),
        pytest.param(["--env", "NOTHING"], ["true"], 2, "NOTHING", id="env without a value"),
        pytest.param(["--account", "12"], ["true"], 2, "12", id="account of two digits"),
        pytest.param(["--log", "/no/such/directory/log"], ["true"], 2, "/no/such/directory/log", id="log file"),
    ],
)
def test_bad_use(kecs: Kecs, options: list[str], command: list[str], code: int, says: str) -> None:
    ran = kecs.run(*command, options=options)
    lines = ran.err.splitlines()
    assert ran.code == code, ran.err
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2, ran.err


def test_a_busy_port(kecs: Kecs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        ran = kecs.run("true", options=["--publish", str(port)])
    assert ran.code == 2, ran.err
    assert f"{port}" in ran.err.splitlines()[0]
    assert ran.err.splitlines()[1].startswith("hint: ")


def test_a_read_only_home(kecs: Kecs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = kecs.run("true", env={"XDG_DATA_HOME": str(tmp_path / "file")})
    assert ran.code == 1
    assert ran.err.splitlines()[0].startswith("error: ")
    assert "XDG_DATA_HOME" in ran.err.splitlines()[1]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 7", 7, id="the command's own code"),
        pytest.param("kill -SEGV $$", 139, id="a signal"),
        pytest.param("kill -TERM $$", 143, id="terminated"),
        pytest.param("exec no-such-thing", 127, id="a shell's 127"),
    ],
)
def test_exit_code(kecs: Kecs, script: str, code: int) -> None:
    assert kecs.run("sh", "-c", script).code == code


ONE_CALL = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"


def test_a_log_that_is_full_loses_lines_and_says_so(kecs: Kecs) -> None:
    ran = kecs.run(sys.executable, "-c", ONE_CALL, options=["--log", "/dev/full"])
    assert (ran.code, ran.out) == (0, "000000000000\n"), ran.err
    assert "kecs: 4 lines are missing from /dev/full: no space left on device" in ran.err.splitlines()


def test_standard_error_that_is_full_changes_no_exit_code(kecs: Kecs) -> None:
    argv = [sys.executable, "-m", "kecs.cli", "run", "--", "sh", "-c", f'{sys.executable} -c "{ONE_CALL}"; exit 7']
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            argv, env=kecs.environment(), stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False
        )
    assert (ran.returncode, ran.stdout) == (7, "000000000000\n")


def test_a_log_is_appended_to(kecs: Kecs, tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.write_text("before\n")
    kecs.run(sys.executable, "-c", ONE_CALL, options=["--log", str(log), "--log-format", "text"])
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert "sts GetCallerIdentity" in lines[-1]
