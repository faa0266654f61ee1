"""The edge that writes recordings: a file for mitmproxy (`.mitm`), an HTTP Archive (`.har`), or both.

Both are whole after every exchange. What has been written is never written again, but for an archive's last line; a
file whose writer was killed in the middle of an exchange is mended when it is opened again: all exchanges before stay.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from kecs.core.errors import UsageError
from kecs.sidecar import har

MITM: Final = ".mitm"
HAR: Final = ".har"
_FRAME_DIGITS_MAX: Final = 12


def paths(record: str) -> tuple[Path | None, Path | None]:
    """Return the file for mitmproxy and the archive: the one whose name this is, or both, with their endings added."""
    path = Path(record)
    match path.suffix.lower():
        case ".mitm":
            return path, None
        case ".har":
            return None, path
    return path.with_name(path.name + MITM), path.with_name(path.name + HAR)


def prepare(record: str, *, creator: str) -> None:
    """Begin both files anew, readable by their owner alone; raise UsageError where that is not possible."""
    mitm, archive = paths(record)
    for path, content in ((mitm, b""), (archive, har.header(creator) + har.FOOTER)):
        if path is not None:
            with _opened(path) as file:
                file.truncate(0)
                file.write(content)


@contextmanager
def held(record: str, *, creator: str) -> Iterator[None]:
    """Begin both files anew and keep other runs from them; make them whole in the end, whatever became of who wrote."""
    with ExitStack() as stack:
        for path in paths(record):
            if path is not None:
                _lock(stack.enter_context(_opened(path)), path)
        prepare(record, creator=creator)
        try:
            yield
        finally:
            mend(record, creator=creator)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f'--record is "{path}", which another run writes', hint="name another file") from None


def _opened(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise UsageError(
            f'--record is "{path}": {os.strerror(error.errno or 0).lower()}',
            hint="name a file in a directory that exists and that you may write to",
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f'--record is "{path}", which is no file', hint="name one that is, or that does not exist")
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "r+b", buffering=0)


@dataclass(slots=True)
class _Target:
    """A file and where the next exchange goes. `after` follows the last one and is written over by the next."""

    file: BinaryIO
    at: int
    count: int
    after: bytes = b""

    def append(self, data: bytes) -> None:
        """Write an exchange and what comes after; leave the file as it was where that fails."""
        try:
            _write_at(self.file.fileno(), data + self.after, self.at)
        except OSError:
            self._undo()
            raise
        self.at += len(data)
        self.count += 1

    def _undo(self) -> None:
        try:
            os.ftruncate(self.file.fileno(), self.at)
            _write_at(self.file.fileno(), self.after, self.at)
        except OSError:
            return  # what stays is mended when it is opened again


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


class Recording:
    """The files of one run. `lost` counts exchanges that could not be written: a full disk ends no run."""

    def __init__(self, mitm: _Target | None, archive: _Target | None) -> None:
        self._mitm = mitm
        self._archive = archive
        self.lost = 0
        self.trouble = ""

    @classmethod
    def open(cls, record: str, *, creator: str) -> Self:
        """Open both files to go on after what they hold already."""
        mitm, archive = paths(record)
        with ExitStack() as stack:
            frames = _whole_frames(stack.enter_context(_opened(mitm))) if mitm is not None else None
            lines = _whole_lines(stack.enter_context(_opened(archive)), creator) if archive is not None else None
            stack.pop_all()
        return cls(frames, lines)

    def write(self, frame: bytes, entry: bytes) -> bool:
        """Write one exchange: a flow as mitmproxy spells it, and an archive's entry. Say whether both were."""
        try:
            if self._mitm is not None:
                self._mitm.append(frame)
            if self._archive is not None:
                self._archive.append(b"\n" + (b"," if self._archive.count else b"") + entry)
        except OSError as error:
            self.lost += 1
            self.trouble = os.strerror(error.errno or 0).lower()
            return False
        return True

    def close(self) -> None:
        """Close both files."""
        for target in (self._mitm, self._archive):
            if target is not None:
                target.file.close()


def mend(record: str, *, creator: str) -> None:
    """Make both files whole again, whatever became of who wrote them."""
    Recording.open(record, creator=creator).close()


def _whole_frames(file: BinaryIO) -> _Target:
    """Find the end of the last whole frame (`LENGTH:DATA}`) and cut what is behind it."""
    size = os.fstat(file.fileno()).st_size
    at = count = 0
    while (end := _frame_end(file.fileno(), at, size)) is not None:
        at, count = end, count + 1
    os.ftruncate(file.fileno(), at)
    return _Target(file, at, count)


def _frame_end(descriptor: int, at: int, size: int) -> int | None:
    digits, colon, _ = os.pread(descriptor, _FRAME_DIGITS_MAX + 1, at).partition(b":")
    if not colon or not digits.isdigit():
        return None
    end = at + len(digits) + 1 + int(digits) + 1
    return end if end <= size and os.pread(descriptor, 1, end - 1) == b"}" else None


def _whole_lines(file: BinaryIO, creator: str) -> _Target:
    """Find the end of the last whole entry, and write the archive's end behind it."""
    start = har.header(creator)
    with os.fdopen(os.dup(file.fileno()), "rb") as lines:
        lines.seek(0)
        first = lines.readline()
        at, count = len(first.rstrip(b"\n")), 0
        if har.begins(first):
            for line in lines:
                if not _is_entry(line):
                    break
                at, count = at + len(line), count + 1
        elif start.startswith(first):  # its writer was killed at the beginning
            at = len(start)
            _write_at(file.fileno(), start, 0)
        else:
            raise UsageError("--record names an archive of somebody else's", hint="name another file, or remove it")
    _write_at(file.fileno(), har.FOOTER, at)
    os.ftruncate(file.fileno(), at + len(har.FOOTER))
    return _Target(file, at, count, har.FOOTER)


def _is_entry(line: bytes) -> bool:
    if not line.endswith(b"}\n") or not line.startswith((b"{", b",{")):
        return False
    try:
        json.loads(line.removeprefix(b","))
    except ValueError:
        return False
    return True
