"""The directory of one run: private, locked while the run lasts, and removed by the next run when it was killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kecs.core.errors import MachineError

_LOCK: Final = "lock"
_PREFIX: Final = "run-"


def base(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory that holds the runs of this user."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / "kecs"
    return Path(tempfile.gettempdir()) / f"kecs-{os.geteuid()}"


@contextmanager
def run_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make the run's directory (0700), after removing those of killed runs; remove it at the end."""
    where = _private(parent)
    with _locked(where / _LOCK):  # a directory is never seen without its lock
        _sweep(where)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        lock = _lock(directory / _LOCK)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _private(where: Path | None) -> Path:
    try:
        where = base() if where is None else where
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = where.lstat()
    except OSError as error:
        raise MachineError(f"the run directory can't be made: {error}", hint="set XDG_RUNTIME_DIR or TMPDIR") from error
    # below /tmp somebody else may have been first
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise MachineError(
            f"the run directory {where} is not private: owner {found.st_uid}, mode {stat.filemode(found.st_mode)}",
            hint=f"remove it: `rm -r {where}`, or set XDG_RUNTIME_DIR",
        )
    return where


def _lock(file: Path, *, wait: bool = False) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = _lock(file, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)


def _sweep(where: Path) -> None:
    for directory in where.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # its run lives, or it went away meanwhile
            os.close(_lock(directory / _LOCK))
            shutil.rmtree(directory, ignore_errors=True)
