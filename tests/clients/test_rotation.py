"""The root is replaced under running programs: no call is lost, and nothing is retired that a program needs."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from kecs_run import PROGRAMS, Kecs
from namespace_lab import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A program under `kecs run` that calls AWS until it is told to end."""

    process: subprocess.Popen[str]
    end: Path
    served: Path

    @property
    def calls(self) -> int:
        return int(self.served.read_text() or 0) if self.served.exists() else 0

    def more(self, count: int = 15) -> None:
        """Wait until it has made further calls."""
        wanted = self.calls + count
        until(lambda: self.calls >= wanted or self.process.poll() is not None, "calls go on", deadline_s=60)

    def finish(self) -> str:
        self.end.write_text("")
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who types commands beside the programs, with a home of their own."""

    kecs: Kecs

    def certs(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kecs.cli", "proxy", "certs", *arguments],
            env=self.kecs.environment(),
            cwd=self.kecs.scratch,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self) -> dict[str, object]:
        text = self.certs("status", "-o", "json")
        found: dict[str, object] = json.loads(text)
        return found

    @contextlib.contextmanager
    def load(self, kind: str) -> Iterator[Load]:
        scratch = self.kecs.scratch
        end, served = (scratch / f"{name}-{kind}-{len(list(scratch.iterdir()))}" for name in ("end", "served"))
        program = [sys.executable, str(PROGRAMS / "steady.py"), kind, str(end), str(served)]
        process = subprocess.Popen(
            [sys.executable, "-m", "kecs.cli", "run", "--quiet", "--", *program],
            env=self.kecs.environment(),
            cwd=scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        load = Load(process=process, end=end, served=served)
        try:
            load.more(1)
            yield load
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)

    def waiting(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kecs.cli", "proxy", "certs", "rotate", "--wait"],
            env=self.kecs.environment(),
            cwd=self.kecs.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def person(tmp_path: Path) -> Person:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    return Person(kecs=Kecs(home=home, scratch=scratch))


def failures(out: str) -> str:
    found = re.search(r"^(\d+) calls, (\d+) failures$", out, re.MULTILINE)
    assert found, out
    assert int(found[1]) >= 40, out
    return out if found[2] != "0" else ""


def test_a_rotation_loses_no_call_of_what_runs(person: Person) -> None:
    """Three clients that began before, during and after it: trusting the old root alone, both, and the new one."""
    with (
        person.load("python") as old,
        person.load("kept") as kept,
        person.load("curl") as other,
        ThreadPoolExecutor() as pool,
    ):
        old.more()
        assert "generation 2 is there" in person.certs("rotate", "--phase", "prepare")
        with person.load("python") as both:
            person.certs("rotate", "--phase", "switch")
            until(lambda: {run["generations"][-1] for run in runs(person)} <= {1, 2}, "all are listed")
            for _ in range(3):
                list(pool.map(Load.more, (old, kept, other, both)))
            refused = person.certs("rotate", "--phase", "retire", code=1)
            assert f"run {old.process.pid} (" in refused
            assert f"run {other.process.pid} (" in refused
            assert f"run {both.process.pid} (" not in refused
            assert "steady.py python" in refused
            waiting = person.waiting()
            assert waiting.stdout is not None
            assert "waits for" in "".join(waiting.stdout.readline() for _ in range(2))
            assert failures(old.finish()) == ""
            assert failures(kept.finish()) == ""
            assert failures(other.finish()) == ""
            assert "generation 1 is trusted no more" in waiting.communicate(timeout=60)[0]
            with person.load("python") as new:
                list(pool.map(Load.more, (both, new, both, new)))
                new.more(40)
                assert failures(new.finish()) == ""
            assert failures(both.finish()) == ""
    assert person.status()["phase"] == "stable"


def runs(person: Person) -> list[dict[str, list[int]]]:
    found = person.status()["workloads"]
    assert isinstance(found, list)
    return found


SWITCHED = """
import socket, ssl, sys
from pathlib import Path
def chain():
    context = ssl.create_default_context()
    with socket.create_connection(("sts.eu-west-1.amazonaws.com", 443)) as raw:
        with context.wrap_socket(raw, server_hostname="sts.eu-west-1.amazonaws.com") as tls:
            return len(tls.get_unverified_chain()) if hasattr(tls, "get_unverified_chain") else len(
                tls._sslobj.get_unverified_chain())
print(chain(), flush=True)
sys.stdin.readline()
while chain() != 4:
    pass
print(chain(), flush=True)
"""


def test_a_running_program_is_served_by_the_new_generation_within_seconds(person: Person) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "kecs.cli", "run", "--quiet", "--", sys.executable, "-c", SWITCHED],
        env=person.kecs.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "3\n"
    person.certs("rotate", code=3)
    out, _ = run.communicate("\n", timeout=30)
    assert (run.returncode, out) == (0, "4\n")


def test_ctrl_c_leaves_a_rotation_that_goes_on(person: Person) -> None:
    with person.load("python") as load:
        waiting = person.waiting()
        assert waiting.stdout is not None
        seen = ""
        while "waits for" not in seen:
            seen += waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        rest = waiting.communicate(timeout=30)[0]
        assert waiting.returncode == 130
        assert "interrupted; `kecs proxy certs rotate --wait` goes on from here" in rest
        assert person.status()["phase"] == "switched"
        load.more(40)
        assert failures(load.finish()) == ""
    assert "generation 1 is trusted no more" in person.certs("rotate")


def test_runs_in_parallel_and_inside_each_other_are_each_listed(person: Person) -> None:
    inner = ["kecs", "run", "--quiet", "--", "sh", "-c", "kecs proxy certs status -o json"]
    bin_directory = str(Path(sys.executable).parent)
    path = {"PATH": f"{bin_directory}:{person.kecs.environment()['PATH']}"}
    ran = person.kecs.run(*inner, env=path)
    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)["workloads"]) == 2
    assert runs(person) == []


def test_an_emergency_names_what_must_restart_and_the_run_says_so(person: Person) -> None:
    said = threading.Event()
    run = subprocess.Popen(
        [sys.executable, "-m", "kecs.cli", "run", "--", "sleep", "600"],
        env=person.kecs.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: person.kecs.home.exists() and "workloads" in _tried(person), "the run is listed", deadline_s=60)
        told = person.certs("rotate", "--emergency", "--yes")
        assert f"run {run.pid} (`sleep 600`)" in told
        assert run.stderr is not None
        for line in run.stderr:
            if "the root of this run's authority was replaced" in line:
                said.set()
                break
        assert said.is_set()
    finally:
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)


def _tried(person: Person) -> dict[str, object]:
    try:
        found = person.status()
    except AssertionError:
        return {}
    return found if found["workloads"] else {}
