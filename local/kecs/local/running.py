"""The runs that live now, as the authority knows them: each says which roots it told its command to trust.

They are listed beside the authority and not in the directory of the run: whoever rotates has to find every run of this
authority, wherever that run keeps its own files. A run holds a lock on its file while it lives; the kernel lets go of
it however the run ends, and whoever looks next removes the file.
"""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kecs.certs.outcome import Workload

KIND: Final = "run"
_DIRECTORY: Final = "runs"
_COMMAND_MAX: Final = 60
_READ_MAX: Final = 1 << 16


@dataclass(slots=True, kw_only=True)
class Registration:
    """This run's entry. `notes` says why there is none, if it could not be made."""

    path: Path | None
    descriptor: int | None
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def trusts(self, fingerprints: Sequence[str]) -> None:
        """Say which roots the command is told to trust."""
        self._say(trusted=list(fingerprints))

    def serves(self, generation: int) -> None:
        """Say which generation's issuer signs what the command is shown."""
        self._say(generation=generation)

    def _say(self, **facts: Any) -> None:
        self.facts.update(facts)
        if self.descriptor is not None:
            try:
                os.pwrite(self.descriptor, _spelled(self.facts), 0)
            except OSError as error:
                self.notes.append(_unregistered(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run that lives."""

    pid: int
    command: str
    since: str
    """When it began, ISO 8601."""
    generation: int
    """Whose issuer signs what it is shown; 0 while it starts."""
    trusted: tuple[str, ...]
    """Empty while it starts: which roots it will trust is not known yet."""

    @property
    def workload(self) -> Workload:
        """The run as a rotation counts it."""
        starting = "" if self.trusted else ", starting"
        return Workload(name=f"{self.pid} (`{self.command}`{starting})", kind=KIND, trusted=self.trusted)


@contextmanager
def registered(authority: Path, command: Sequence[str], now: datetime) -> Iterator[Registration]:
    """List this run for as long as it lasts. Do it before the authority is read, or a rotation could slip between.

    Where the authority's directory can't be written to, the run goes on, and says so.
    """
    facts = {"pid": os.getpid(), "command": _shown(command), "since": now.isoformat(timespec="seconds")}
    try:
        path, descriptor = _made(authority / _DIRECTORY, facts)
    except OSError as error:
        yield Registration(path=None, descriptor=None, facts=facts, notes=[_unregistered(error)])
        return
    try:
        yield Registration(path=path, descriptor=descriptor, facts=facts)
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def listed(authority: Path, *, but: Registration | None = None) -> tuple[Run, ...]:
    """List the runs that live, by process id, without one's own; forget those that have died."""
    own = but.path if but else None
    found = (_read(path) for path in (authority / _DIRECTORY).glob("run-*.json") if path != own)
    return tuple(sorted((run for run in found if run is not None), key=lambda run: run.pid))


def _made(directory: Path, facts: dict[str, Any]) -> tuple[Path, int]:
    for place in (directory.parent, directory):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"run-{os.getpid()}-{secrets.token_hex(4)}"
    hidden = directory / f".{name}"
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(descriptor, _spelled(facts), 0)
        return hidden.rename(directory / f"{name}.json"), descriptor  # never seen without its lock
    except BaseException:
        with suppress(OSError):
            hidden.unlink()
        os.close(descriptor)
        raise


def _read(path: Path) -> Run | None:
    """Read a run's entry; None when the run has died."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # it ended meanwhile
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look don't take each other for runs
    except BlockingIOError:
        return _parsed(os.read(descriptor, _READ_MAX))
    else:
        with suppress(OSError):
            path.unlink()
        return None
    finally:
        os.close(descriptor)


def _parsed(text: bytes) -> Run:
    """Read an entry. What is half written, or was edited, trusts nothing that is known: nothing is retired over it."""
    try:
        facts = json.loads(text)
        return Run(
            pid=int(facts["pid"]),
            command=str(facts["command"]),
            since=str(facts["since"]),
            generation=int(facts.get("generation", 0)),
            trusted=tuple(map(str, facts.get("trusted", ()))),
        )
    except (ValueError, KeyError, TypeError):
        return Run(pid=0, command="?", since="", generation=0, trusted=())


def _spelled(facts: dict[str, Any]) -> bytes:
    # Written in place, which would leave the end of a longer entry behind: entries only ever grow but for the number
    # of a generation, and blanks at the end are none of JSON's business.
    return json.dumps(facts).encode() + b"\n" + b" " * 16


def _shown(command: Sequence[str]) -> str:
    """Spell a command so that a person knows it again: of absolute paths the last part, and not too long."""
    text = shlex.join(Path(word).name if word.startswith("/") else word for word in command)
    return text if len(text) <= _COMMAND_MAX else text[: _COMMAND_MAX - 1] + "…"


def _unregistered(error: OSError) -> str:
    why = (error.strerror or str(error)).lower()
    return f"this run is not listed with the authority ({why}): a rotation would not wait for it"
