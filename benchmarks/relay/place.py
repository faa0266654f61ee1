"""Namespaces: one place for each pod, and one for the world that pods talk to.

A place is a network, mount and process namespace. Its first process lives as long as ours, and whatever runs inside
ends with it, however we end. Needs root.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

PATIENCE_S: Final = 30.0
APP: Final = 65534
"""Who the clients are: anybody but the proxy."""
_POLL_S: Final = 0.02
_HOLD: Final = 'mount --bind "$1" /etc/hosts && ip link set lo up && echo ready && exec cat'


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A living place."""

    pid: int
    """Its first process, as seen from outside."""

    def argv(self, *command: str, user: int = APP) -> list[str]:
        """Return the command that runs another one inside, as this user."""
        # The interpreter may lie in a home directory: reading what others may not is all that is kept of root.
        caps = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *caps] if user else []
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", *drop, *command]

    def run(self, *command: str, user: int = APP, stdin: str = "", environ: Mapping[str, str] | None = None) -> str:
        """Run to the end, which has to be a good one; return what was printed."""
        done = subprocess.run(
            self.argv(*command, user=user),
            input=stdin,
            env=clean(environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            raise SystemExit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(
        self,
        *command: str,
        user: int = APP,
        environ: Mapping[str, str] | None = None,
        stdin: int | IO[str] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program inside."""
        argv = self.argv(*command, user=user)
        return subprocess.Popen(argv, env=clean(environ), stdin=stdin, stdout=stdout, stderr=stderr, text=True)

    @contextmanager
    def lasting(self, *command: str, stdout: int | IO[bytes] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Run a client's program while the block lasts. One that is broken off is not waited for: it may take long."""
        with self.start(*command, stdout=stdout) as process:
            try:
                yield process
            except BaseException:
                # what was started is not the program itself but who waits for it
                self.signal(APP, signal.SIGKILL)
                raise

    def ip(self, script: str) -> None:
        """Do what a script for `ip` says."""
        argv = ["nsenter", f"--target={self.pid}", "--net", "ip", "-batch", "-"]
        done = subprocess.run(argv, input=script, env=clean(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"error: ip: {done.stderr}")

    def sysctl(self, *settings: str) -> None:
        """Set what the kernel keeps for each network."""
        argv = ["nsenter", f"--target={self.pid}", "--net", "sysctl", "-q", "-w", *settings]
        subprocess.run(argv, env=clean(), capture_output=True, check=True)

    def signal(self, user: int, number: int) -> None:
        """Send a signal to all processes of a user in here."""
        for pid in self.members(user):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def members(self, user: int) -> list[int]:
        """Return the processes of a user in here, as seen from outside."""
        mine = _namespace(self.pid)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if entry.stat().st_uid == user and _namespace(int(entry.name)) == mine:
                        found.append(int(entry.name))
        return sorted(found)


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def clean(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nobody has been told whom to trust or where to go."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", **kept, **(more or {})}


@contextmanager
def place(hosts: Path) -> Iterator[Place]:
    """Make a place with loopback alone, in which names are looked up in this file."""
    unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    with subprocess.Popen(
        [*unshare, "sh", "-c", _HOLD, "sh", str(hosts)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        if holder.stdout.readline() != "ready\n":
            raise SystemExit("error: no namespace can be made\n\nhint: this takes root")
        child = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii")
        try:
            yield Place(pid=int(child))
        finally:
            holder.stdin.close()
            holder.wait(PATIENCE_S)


def settle(condition: Sequence[str], subject: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> None:
    """Run a command again and again until it succeeds, or what it is about has ended."""
    said = ""

    def succeeds() -> bool:
        nonlocal said
        if subject.poll() is not None:
            raise SystemExit(f"error: it ended with {subject.returncode}")
        try:
            done = subprocess.run(
                condition, env=clean(), capture_output=True, text=True, check=False, timeout=patience_s
            )
        except subprocess.TimeoutExpired as error:
            said = str(error)
            return False
        said = done.stderr
        return done.returncode == 0

    try:
        until(succeeds, patience_s)
    except SystemExit as error:
        raise SystemExit(f"{error}: {' '.join(condition)}:\n{said}") from error


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: not within {patience_s:.0f} s")
        time.sleep(_POLL_S)


def python(program: str, *arguments: str) -> list[str]:
    """Return the command that runs a program of this folder."""
    return [sys.executable, str(Path(__file__).parent / program), *arguments]
