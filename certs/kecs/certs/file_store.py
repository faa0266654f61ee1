"""The records of one machine's authority in files, one each: `root.pem` and `issuer.pem`.

A file appears whole or not at all, is its owner's alone, and is refused when others may use it. It is PEM that OpenSSL
reads, with a comment before each field. Files without such comments, as KECS wrote them first, hold one key and its
certificate. An edge: it reads and writes; what the fields mean is `records`' business.
"""

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from kecs.certs.records import Conflict, Record
from kecs.core.errors import AuthorityError, MachineError

_SIZE_LIMIT: Final = 1 << 20
_LOCK_PAUSE_S: Final = 0.01
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO
_FIELD: Final = re.compile(rb"^# ([a-z]+\.(?:crt|key|json))\n", re.MULTILINE)
_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL)

_UNDO: Final = {Record.ROOT: "restore {} from a backup", Record.ISSUER: "remove {}: it is issued anew"}


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """A directory of records. A version is the hash of a file's content."""

    directory: Path
    patience: timedelta = field(default=timedelta(seconds=30), kw_only=True)
    """How long to wait for another process that is writing."""

    def path(self, record: Record) -> Path:
        """Say where a record is kept."""
        return self.directory / f"{record}.pem"

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        """Read a record. Takes no lock, since files appear whole."""
        content = _read(self.path(record))
        if content is None:
            return None
        self._check_directory()
        return _split(content, self.path(record), record), _version(content)

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        """Put a record where the next reader finds it whole, even after a power cut."""
        with _cannot_write(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_directory()
        content = _join(fields)
        with _locked(self.directory, self.patience):
            found = _read(self.path(record))
            if (None if found is None else _version(found)) != version:
                raise Conflict(f"{self.path(record)} was written by another process meanwhile", hint="try again")
            _write(self.path(record), content)
        return _version(content)

    def _check_directory(self) -> None:
        """Refuse a directory where others could put a root of theirs."""
        found = self.directory.stat()
        _check_owner(self.directory, found)
        if found.st_mode & _OTHERS_MAY_WRITE:
            raise AuthorityError(
                f"others may write in {self.directory} (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"chmod 700 {self.directory}",
            )


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _join(fields: Mapping[str, bytes]) -> bytes:
    return b"".join(b"# %s\n%s\n" % (name.encode(), text.strip()) for name, text in fields.items())


def _split(content: bytes, path: Path, record: Record) -> dict[str, bytes]:
    before, *parts = _FIELD.split(content)
    names, texts = parts[::2], parts[1::2]
    if names:
        if before.strip() or len(set(names)) < len(names):
            raise AuthorityError(
                f"{path} is damaged: a field is there twice, or text before the first one",
                hint=f"undo the edit, or {_UNDO[record].format(path)}",
            )
        return {name.decode(): text for name, text in zip(names, texts, strict=True)}
    key = b"".join(_KEY.findall(content))
    return {"tls.key": key, "tls.crt": _KEY.sub(b"", content)}


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise AuthorityError(
            f"{path} belongs to uid {found.st_uid}, not to uid {os.geteuid()}",
            hint="run as its owner, or set XDG_DATA_HOME to a directory of your own",
        )


def _read(path: Path) -> bytes | None:
    """Read a file that is its owner's alone; None when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AuthorityError(
            f"{path} can't be read: {error.strerror}", hint="run as its owner; symbolic links are not followed"
        ) from error
    with _closing(descriptor):
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise AuthorityError(f"{path} is not a regular file", hint=f"move {path} away, or restore it from a backup")
        _check_owner(path, found)
        if found.st_mode & _OTHERS_MAY:
            raise AuthorityError(
                f"others than its owner may use {path} (mode {stat.S_IMODE(found.st_mode):04o}),"
                " and it holds a private key",
                hint=f"chmod 600 {path}",
            )
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(_SIZE_LIMIT)


def _write(path: Path, content: bytes) -> None:
    """Replace a file. Whoever writes holds the lock, so the temporary file has one name: what a killed process left
    there is written over.
    """  # noqa: D205 - one thought
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with _cannot_write(path.parent):
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with _closing(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
            os.fsync(directory)


@contextmanager
def _locked(directory: Path, patience: timedelta) -> Iterator[None]:
    """Hold the directory for this process. The kernel lets go when the process ends, however it ends."""
    with _cannot_write(directory):
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _closing(descriptor):
        deadline = time.monotonic() + patience.total_seconds()
        while not _taken(descriptor, directory):
            if time.monotonic() > deadline:
                raise MachineError(
                    f"another run has been writing to {directory} for {patience.total_seconds():g} s",
                    hint=f"end the process that holds {directory / 'lock'}",
                )
            time.sleep(_LOCK_PAUSE_S)
        yield


def _taken(descriptor: int, directory: Path) -> bool:
    with _cannot_write(directory):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _cannot_write(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"the authority can't be written to {directory}: {error.strerror}",
            hint="set XDG_DATA_HOME to a directory that you can write",
        ) from error
